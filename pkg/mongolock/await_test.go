/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package mongolock

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mongolock/operator/hack/servers/servertest"
)

// awaited is a call of AwaitChange in the background.
type awaited struct {
	state State
	err   error
	after time.Duration
}

func awaitInBackground(ctx context.Context, c *Client, state State) <-chan awaited {
	result := make(chan awaited, 1)
	begin := time.Now()
	go func() {
		state, err := c.AwaitChange(ctx, state)
		result <- awaited{state, err, time.Since(begin)}
	}()
	return result
}

func mustGet(t *testing.T, c *Client, id string) State {
	t.Helper()
	state, err := c.Get(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return state
}

func TestAwaitChange(t *testing.T) {
	const lease = 30 * time.Second
	for name, tc := range map[string]struct {
		happens func(t *testing.T, held *Lease, s *fakeStore)
		within  time.Duration // of its happening after ten seconds
		free    bool
	}{
		"a release": {func(t *testing.T, held *Lease, _ *fakeStore) { mustUnlock(t, held) }, 2 * maxAwait, true},
		"another holder": {func(t *testing.T, held *Lease, s *fakeStore) {
			mustUnlock(t, held)
			mustLock(t, fakeClient(t, s), "x")
		}, 2 * maxAwait, false},
		"the end of the lease": {func(_ *testing.T, _ *Lease, s *fakeStore) {
			s.intercept(func(_ context.Context, call fakeCall, apply func()) error {
				if call.op == "renew" {
					return errBroken(call.op)
				}
				apply()
				return nil
			})
		}, lease + 2*minLook, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newFakeStore()
				holder, observer := fakeClient(t, s), fakeClient(t, s)
				held := mustLock(t, holder, "x", WithLease(lease))
				result := awaitInBackground(t.Context(), observer, mustGet(t, observer, "x"))
				time.Sleep(100 * time.Second) // it is renewed all the time, which is no change
				select {
				case r := <-result:
					t.Fatalf("told of %+v, %v, and nothing has happened", r.state, r.err)
				default:
				}
				tc.happens(t, held, s)
				r := <-result
				if late := r.after - 100*time.Second; r.err != nil || r.state.Held() == tc.free || late > tc.within {
					t.Errorf("told %s after it of %+v, %v", late, r.state.Holders, r.err)
				}
			})
		})
	}
}

func TestAwaitChangeReturnsAtOnceWhenItHasHappened(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := fakeClient(t, newFakeStore())
		before := mustGet(t, c, "x")
		mustLock(t, c, "x")
		if r := <-awaitInBackground(t.Context(), c, before); r.err != nil || !r.state.Held() || r.after != 0 {
			t.Errorf("told after %s of %+v, %v", r.after, r.state, r.err)
		}
	})
}

func TestAwaitChangeEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFakeStore()
		c := fakeClient(t, s)
		mustLock(t, fakeClient(t, s), "x")
		state := mustGet(t, c, "x")
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if r := <-awaitInBackground(ctx, c, state); !errors.Is(r.err, context.DeadlineExceeded) || r.after != time.Minute {
			t.Errorf("after the context's end: %v after %s", r.err, r.after)
		}
		s.intercept(on("find", hang))
		if r := <-awaitInBackground(t.Context(), c, state); !errors.Is(r.err, ErrUnreachable) || errors.Is(r.err, context.DeadlineExceeded) || r.after != lookTimeout {
			t.Errorf("with a server that hangs: %v after %s", r.err, r.after)
		}
		s.intercept(nil)
		result := awaitInBackground(t.Context(), c, state)
		time.Sleep(time.Second)
		if err := c.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		if r := <-result; !errors.Is(r.err, ErrClosed) || r.after != time.Second {
			t.Errorf("with a closed client: %v after %s", r.err, r.after)
		}
		if _, err := c.AwaitChange(t.Context(), State{}); !errors.Is(err, ErrInvalid) {
			t.Errorf("without an id: %v", err)
		}
	})
}

// Where the doorbell rings a change is told by it, and one of which the message was lost by the next look.
func TestAwaitChangeWithADoorbell(t *testing.T) {
	for name, tc := range map[string]struct {
		heard  bool
		within time.Duration
	}{
		"heard": {true, 0},
		"lost":  {false, maxAwait * 3 / 2},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newFakeStore()
				holder, observer := fakeClient(t, s), fakeClient(t, s)
				observer.bell.hearing.Store(&listener{})
				for range 20 {
					held := mustLock(t, holder, "x")
					before := len(s.sent("find"))
					result := awaitInBackground(t.Context(), observer, mustGet(t, observer, "x"))
					time.Sleep(time.Minute)
					if n := len(s.sent("find")) - before; n > int(time.Minute/maxAwait)*3/2 {
						t.Errorf("%d looks in a minute", n)
					}
					mustUnlock(t, held)
					if tc.heard {
						observer.bell.deliver(message{News: []news{{Lock: "x"}}})
					}
					r := <-result
					if late := r.after - time.Minute; r.err != nil || r.state.Held() || late > tc.within {
						t.Errorf("told %s after it of %+v, %v", late, r.state.Holders, r.err)
					}
				}
			})
		})
	}
}

// The same on real servers: sooner or later a change is told before a look could have found it.
func TestAwaitChangeHearsTheBell(t *testing.T) {
	f := newTestFeed(t)
	holder := f.client(t)
	own := startProxy(t, servertest.MongoDBURI())
	f.proxy = own
	observer := f.client(t)
	observer.bell.listen()
	defer observer.bell.unlisten()
	awaitPush(t, observer)
	for range 10 {
		held := mustLock(t, holder, "x")
		state, before := mustGet(t, observer, "x"), looks(own)
		result := awaitInBackground(t.Context(), observer, state)
		eventually(t, 5*time.Second, "the first look", func() bool { return looks(own) > before })
		mustUnlock(t, held)
		r := await(t, 10*time.Second, "the release is told", result)
		if r.err != nil || r.state.Held() {
			t.Fatalf("told of %+v, %v", r.state, r.err)
		}
		if r.after < maxAwait/2 {
			return
		}
	}
	t.Error("nothing was told by a message")
}
