/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package mongolock

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestUnlockIsIdempotent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFakeStore()
		lease := mustLock(t, fakeClient(t, s), "x")
		errs := make([]error, 10)
		var wg sync.WaitGroup
		for i := range errs {
			wg.Go(func() { errs[i] = lease.Unlock(t.Context()) })
		}
		wg.Wait()
		released := 0
		for _, err := range append(errs, lease.Unlock(t.Context())) {
			if err == nil {
				released++
			} else if !errors.Is(err, ErrNotHeld) || errors.Is(err, ErrLeaseLost) {
				t.Errorf("Unlock: %v, want nil or ErrNotHeld", err)
			}
		}
		if released != 1 || len(s.sent("release")) != 1 {
			t.Errorf("%d of 11 released with %d commands, want 1 with 1", released, len(s.sent("release")))
		}
		if err := lease.Renew(t.Context()); !errors.Is(err, ErrNotHeld) {
			t.Errorf("Renew after Unlock: %v, want ErrNotHeld", err)
		}
		if len(s.sent("renew")) != 0 || s.held("x") {
			t.Error("a released lease was renewed")
		}
	})
}

// A renewal that the server gets, or answers, after the release does not bring the lease back, here or there.
func TestUnlockDuringARenewal(t *testing.T) {
	for name, renew := range map[string]hook{
		"late request": func(_ context.Context, _ fakeCall, apply func()) error { time.Sleep(time.Second); apply(); return nil },
		"late reply":   func(_ context.Context, _ fakeCall, apply func()) error { apply(); time.Sleep(time.Second); return nil },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newFakeStore()
				s.intercept(on("renew", renew))
				start := time.Now()
				lease := mustLock(t, fakeClient(t, s), "x")
				until(start, defaultThird+time.Second/2)
				mustUnlock(t, lease)
				for _, at := range []time.Duration{defaultThird + time.Second/2, time.Minute} {
					until(start, at)
					if err := lease.Err(); !errors.Is(err, ErrNotHeld) || s.held("x") {
						t.Errorf("after %s: Err %v, held at the server %t", at, err, s.held("x"))
					}
				}
				if got := len(s.sent("renew")); got != 1 {
					t.Errorf("%d renewals, want none after the release", got-1)
				}
			})
		})
	}
}

func TestUnlockWithEndedContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFakeStore()
		c := fakeClient(t, s)
		cancelled, cancel := context.WithCancel(t.Context())
		cancel()
		expired, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
		defer cancel()
		for _, ctx := range []context.Context{cancelled, expired} {
			lease := mustLock(t, c, "x")
			if err := lease.Unlock(ctx); err != nil || s.held("x") {
				t.Errorf("Unlock with an ended context: %v, held %t", err, s.held("x"))
			}
		}
		lease := mustLock(t, c, "x")
		if err := lease.Unlock(lease.Context(t.Context())); err != nil || s.held("x") {
			t.Errorf("Unlock with the lease's own context: %v, held %t", err, s.held("x"))
		}
	})
}

// A release whose reply was lost is found out by asking again; what cannot be found out is not guessed.
func TestUnlockFindsOutTheTruth(t *testing.T) {
	// after breaks the first reply and lets something happen before the next try.
	after := func(between func(ctx context.Context, s *fakeStore)) func(*fakeStore) hook {
		return func(s *fakeStore) hook {
			return func(ctx context.Context, call fakeCall, apply func()) error {
				err := lostFirst(call, apply)
				if err != nil {
					between(ctx, s)
				}
				return err
			}
		}
	}
	always := func(h hook) func(*fakeStore) hook { return func(*fakeStore) hook { return h } }
	others := func(n int) func(context.Context, *fakeStore) {
		return func(ctx context.Context, s *fakeStore) {
			for range n {
				id := newHolderID()
				_, _ = s.acquire(ctx, acquisition{lock: "x", holderID: id, owner: "other", mode: modeExclusive, leaseMS: 1000})
				s.mu.Lock()
				doc := s.docs["x"]
				doc.drop(serverTime(), EventReleased, "", func(holder) bool { return true })
				s.mu.Unlock()
			}
		}
	}
	cases := map[string]struct {
		release func(*fakeStore) hook
		find    hook
		ctx     time.Duration
		want    error
		within  time.Duration
	}{
		"lost reply":                   {release: after(func(context.Context, *fakeStore) {}), within: time.Second},
		"lost reply, others came":      {release: after(others(5)), within: time.Second},
		"lost reply, event pushed out": {release: after(others(ringSize)), want: ErrOutcomeUnknown, within: time.Second},
		"lost reply, document deleted": {release: after(func(_ context.Context, s *fakeStore) { s.remove("x") }), want: ErrNotHeld, within: time.Second},
		"lost reply, reading fails":    {release: after(func(context.Context, *fakeStore) {}), find: breakReply, want: ErrOutcomeUnknown, within: time.Second},
		"lost request, then expired": {release: func(s *fakeStore) hook {
			return func(_ context.Context, call fakeCall, apply func()) error {
				if call.number > 1 {
					apply()
					return nil
				}
				s.mu.Lock()
				defer s.mu.Unlock()
				s.docs["x"].drop(s.docs["x"].ends(), EventExpired, "", func(holder) bool { return true })
				return errBroken(call.op)
			}
		}, want: ErrNotHeld, within: time.Second},
		"expired at the server": {release: func(s *fakeStore) hook {
			s.remove("x")
			return func(_ context.Context, _ fakeCall, apply func()) error { apply(); return nil }
		}, want: ErrNotHeld},
		"refused":            {release: always(func(context.Context, fakeCall, func()) error { return errUnauthorized("release") }), want: ErrUnauthorized},
		"hanging":            {release: always(hang), want: ErrOutcomeUnknown, within: cleanupTimeout},
		"hanging beyond ctx": {release: always(hang), ctx: 2 * time.Second, want: ErrOutcomeUnknown, within: 2 * time.Second},
		"no server":          {release: always(unreachable), want: ErrOutcomeUnknown, within: cleanupTimeout},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newFakeStore()
				lease := mustLock(t, fakeClient(t, s), "x")
				release, find := tc.release(s), tc.find
				s.intercept(func(ctx context.Context, call fakeCall, apply func()) error {
					switch {
					case call.op == "release":
						return release(ctx, call, apply)
					case call.op == "find" && find != nil:
						return find(ctx, call, apply)
					}
					apply()
					return nil
				})
				ctx := t.Context()
				if tc.ctx > 0 {
					timed, cancel := context.WithTimeout(ctx, tc.ctx)
					defer cancel()
					ctx = timed
				}
				start := time.Now()
				err := lease.Unlock(ctx)
				if !errors.Is(err, tc.want) || tc.want == nil && err != nil {
					t.Errorf("Unlock: %v, want %v", err, tc.want)
				}
				if took := time.Since(start); took > tc.within {
					t.Errorf("Unlock took %s, want at most %s", took, tc.within)
				}
				if err := lease.Err(); !errors.Is(err, ErrNotHeld) {
					t.Errorf("Err after Unlock: %v, want ErrNotHeld", err)
				}
			})
		})
	}
}

// Unlock of a lost lease frees what is left of it at the server, and still says that it was lost.
func TestUnlockAfterTheLoss(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFakeStore()
		lease := mustLock(t, fakeClient(t, s), "x", WithAutoRenew(false))
		<-lease.Done()
		if !s.held("x") {
			t.Fatal("the server's lease ended with the local one: the test does not test")
		}
		for range 2 {
			if err := lease.Unlock(t.Context()); !errors.Is(err, ErrNotHeld) || !errors.Is(err, ErrLeaseLost) {
				t.Errorf("Unlock: %v, want ErrNotHeld and ErrLeaseLost", err)
			}
		}
		if s.held("x") {
			t.Error("the lock is still held")
		}
	})
}

// Work that ends just before ctx does leaves no time for the release. The caller does not wait, and the lock is free all the same before its
// lease ends, also if the client is closed then.
func TestReleaseGoesOnBehindTheCaller(t *testing.T) {
	const left = 5 * time.Millisecond
	slow := func(ctx context.Context, call fakeCall, apply func()) error {
		if pause(ctx, 4*left) != nil {
			return classify(call.op, ctx.Err())
		}
		apply()
		return nil
	}
	for name, closing := range map[string]bool{"open": false, "closed": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newFakeStore()
				c := fakeClient(t, s)
				s.intercept(on("release", slow))
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
				defer cancel()
				err := c.Do(ctx, "x", func(ctx context.Context, _ *Lease) error {
					deadline, _ := ctx.Deadline()
					time.Sleep(time.Until(deadline) - left)
					return nil
				})
				if !errors.Is(err, ErrOutcomeUnknown) || !s.held("x") {
					t.Fatalf("Do: %v, held %t: the test does not test", err, s.held("x"))
				}
				if closing {
					err = c.Close(t.Context())
				} else {
					time.Sleep(time.Second)
					err = nil
				}
				if doc := s.stored("x"); err != nil || len(doc.State.Holders) > 0 {
					t.Errorf("a second later, or after Close (%v): %+v, want it released", err, doc.State.Holders)
				}
			})
		})
	}
}

// A release that never gets through is given up after a while, and Close does not wait for it beyond its context.
func TestReleaseBehindTheCallerEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFakeStore()
		c := fakeClient(t, s)
		lease := mustLock(t, c, "x")
		s.intercept(on("release", hang))
		start := time.Now()
		if err := lease.Unlock(t.Context()); !errors.Is(err, ErrOutcomeUnknown) || time.Since(start) != cleanupTimeout {
			t.Errorf("Unlock after %s: %v", time.Since(start), err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := c.Close(ctx); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != cleanupTimeout+time.Second {
			t.Errorf("Close after %s: %v", time.Since(start), err)
		}
		sends := len(s.sent("release"))
		time.Sleep(time.Minute)
		if more := len(s.sent("release")) - sends; more > 0 {
			t.Errorf("%d sends after Close", more)
		}
	})
}
