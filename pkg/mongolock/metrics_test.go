/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package mongolock

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// recorder keeps what it is told, with the time of the bubble since it was made.
type recorder struct {
	began time.Time

	mu      sync.Mutex
	told    map[string][]string // by method
	waiting int
}

func newRecorder() *recorder { return &recorder{began: time.Now(), told: map[string][]string{}} }

func (r *recorder) tell(method, format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.told[method] = append(r.told[method], fmt.Sprintf("at %s: ", time.Since(r.began))+fmt.Sprintf(format, args...))
}

func (r *recorder) Acquired(id string, outcome Outcome, took time.Duration) {
	r.tell("Acquired", "%s %s %s", id, outcome, took)
}
func (r *recorder) Waited(id string, took time.Duration) { r.tell("Waited", "%s %s", id, took) }
func (r *recorder) Held(id string, took time.Duration, lost bool) {
	r.tell("Held", "%s %s lost=%t", id, took, lost)
}
func (r *recorder) Renewed(leases int, took time.Duration, failed bool) {
	r.tell("Renewed", "%d %s failed=%t", leases, took, failed)
}
func (r *recorder) FeedLag(lag time.Duration) { r.tell("FeedLag", "%s", lag) }
func (r *recorder) Waiting(delta int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.waiting += delta
}

func (r *recorder) check(t *testing.T, method string, want ...string) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	if !slices.Equal(r.told[method], want) {
		t.Errorf("%s was told\n\t%q, want\n\t%q", method, r.told[method], want)
	}
}

func (r *recorder) checkWaiting(t *testing.T, want int) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.waiting != want {
		t.Errorf("%d calls of Lock wait, want %d", r.waiting, want)
	}
}

// slowly is a hook: the command and its reply take that long together.
func slowly(d time.Duration) hook {
	return func(_ context.Context, _ fakeCall, apply func()) error {
		time.Sleep(d / 2)
		apply()
		time.Sleep(d - d/2)
		return nil
	}
}

func TestMetricsOfAcquisitions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, r := newFakeStore(), newRecorder()
		c := fakeClient(t, s, WithMetrics(r))
		s.intercept(on("acquire", slowly(200*time.Millisecond)))
		lease := mustLock(t, c, "x")
		if _, err := c.TryLock(t.Context(), "x"); !errors.Is(err, ErrHeld) {
			t.Error(err)
		}
		s.intercept(on("acquire", hang))
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		if _, err := c.TryLock(ctx, "y"); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		s.intercept(on("acquire", func(context.Context, fakeCall, func()) error { return errUnauthorized("acquire") }))
		if _, err := c.Lock(t.Context(), "z"); !errors.Is(err, ErrUnauthorized) {
			t.Error(err)
		}
		r.check(t, "Acquired", "at 200ms: x granted 200ms", "at 400ms: x refused 200ms", "at 3.4s: y failed 3s", "at 3.4s: z failed 0s")
		r.check(t, "Waited")
		r.checkWaiting(t, 0)
		mustUnlock(t, lease)
	})
}

// A Lock that waits is told once, with all the time that it took, and counts as waiting meanwhile.
func TestMetricsOfWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, r := newFakeStore(), newRecorder()
		held := mustLock(t, fakeClient(t, s), "x")
		c := fakeClient(t, s, WithMetrics(r))
		start := time.Now()
		time.AfterFunc(7*time.Second, func() { mustUnlock(t, held) })
		first, second := startWaiting(t, c, "x"), startWaiting(t, c, "x")
		until(start, 3*time.Second)
		r.checkWaiting(t, 2)
		r.check(t, "Waited")
		var waited, acquired []string
		for range 2 {
			var lease *Lease
			select {
			case lease = <-first.result:
			case lease = <-second.result:
			}
			took := time.Since(start)
			if took < 7*time.Second || took > 7*time.Second+2*maxLook {
				t.Errorf("granted after %s", took)
			}
			waited = append(waited, fmt.Sprintf("at %s: x %s", took, took))
			acquired = append(acquired, fmt.Sprintf("at %s: x granted %s", took, took))
			mustUnlock(t, lease)
		}
		synctest.Wait()
		r.check(t, "Waited", waited...)
		r.check(t, "Acquired", acquired...)
		r.checkWaiting(t, 0)
	})
}

// Waiting in vain is waiting, too.
func TestMetricsOfWaitingInVain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, r := newFakeStore(), newRecorder()
		mustLock(t, fakeClient(t, s), "x")
		c := fakeClient(t, s, WithMetrics(r))
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		if _, err := c.Lock(ctx, "x"); !errors.Is(err, ErrHeld) {
			t.Error(err)
		}
		r.check(t, "Waited", "at 3s: x 3s")
		r.check(t, "Acquired", "at 3s: x refused 3s") // what it ran into was the holder
		r.checkWaiting(t, 0)
	})
}

// A lease ends once, whatever ends it.
func TestMetricsOfLeases(t *testing.T) {
	cases := map[string]struct {
		opts []Option
		end  func(t *testing.T, s *fakeStore, c *Client, lease *Lease)
		want string
	}{
		"released": {
			end:  func(t *testing.T, _ *fakeStore, _ *Client, lease *Lease) { mustUnlock(t, lease) },
			want: "at 2s: x 2s lost=false",
		},
		"expired": {
			opts: []Option{WithAutoRenew(false)},
			end:  func(_ *testing.T, _ *fakeStore, _ *Client, lease *Lease) { <-lease.Done() },
			want: "at 14s: x 14s lost=true",
		},
		"evicted": {
			end: func(t *testing.T, _ *fakeStore, c *Client, lease *Lease) {
				if err := c.Evict(t.Context(), "x", lease.Token(), "test"); err != nil {
					t.Error(err)
				}
				<-lease.Done() // by the next renewal
			},
			want: "at 5s: x 5s lost=true",
		},
		"server gone": {
			end: func(_ *testing.T, s *fakeStore, _ *Client, lease *Lease) {
				s.intercept(on("renew", unreachable))
				<-lease.Done()
			},
			want: "at 14s: x 14s lost=true",
		},
		"closed": {
			end: func(t *testing.T, _ *fakeStore, c *Client, _ *Lease) {
				if err := c.Close(t.Context()); err != nil {
					t.Error(err)
				}
			},
			want: "at 2s: x 2s lost=false",
		},
		"closed without release": {
			opts: []Option{WithoutRelease()},
			end: func(t *testing.T, _ *fakeStore, c *Client, _ *Lease) {
				if err := c.Close(t.Context()); err != nil {
					t.Error(err)
				}
			},
			want: "at 2s: x 2s lost=true",
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, r := newFakeStore(), newRecorder()
				c := fakeClient(t, s, append(tc.opts, WithMetrics(r))...)
				start := time.Now()
				lease := mustLock(t, c, "x")
				until(start, 2*time.Second)
				r.check(t, "Held")
				tc.end(t, s, c, lease)
				_ = lease.Unlock(t.Context()) // changes nothing
				synctest.Wait()
				r.check(t, "Held", tc.want)
			})
		})
	}
}

// Leases that are due together are renewed, and told, together.
func TestMetricsOfRenewals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, r := newFakeStore(), newRecorder()
		c := fakeClient(t, s, WithMetrics(r))
		start := time.Now()
		leases := []*Lease{mustLock(t, c, "x"), mustLock(t, c, "y"), mustLock(t, c, "z", WithAutoRenew(false))}
		s.intercept(on("renew", slowly(400*time.Millisecond)))
		until(start, 6*time.Second)
		want := []string{"at 5.4s: 2 400ms failed=false"}
		r.check(t, "Renewed", want...)
		s.intercept(on("renew", func(ctx context.Context, call fakeCall, apply func()) error {
			if call.number == 2 {
				time.Sleep(300 * time.Millisecond)
				return errBroken("renew")
			}
			return hang(ctx, call, apply)
		}))
		// The second is at 10 s: a third of the lease after the first was sent. The third comes a little after it failed.
		until(start, 10500*time.Millisecond)
		want = append(want, "at 10.3s: 2 300ms failed=true")
		r.check(t, "Renewed", want...)
		s.intercept(nil)
		until(start, 12*time.Second)
		for _, l := range leases {
			_ = l.Unlock(t.Context())
		}
	})
}

// The lag is the time from a change to the look that saw it. What was there before the watch began has none.
func TestMetricsOfTheFeed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, r := newFakeStore(), newRecorder()
		other := fakeClient(t, s)
		mustUnlock(t, mustLock(t, other, "old"))
		start := time.Now()
		until(start, time.Second)
		c := fakeClient(t, s, WithMetrics(r))
		w, err := c.Watch(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer w.Close()
		until(start, 2100*time.Millisecond)
		r.check(t, "FeedLag")
		lease := mustLock(t, other, "x")
		until(start, 3100*time.Millisecond)
		// It looks twice a second, and began after one.
		r.check(t, "FeedLag", "at 2.5s: 400ms")
		mustUnlock(t, lease)
		for range 3 {
			<-w.Changes()
		}
		r.check(t, "FeedLag", "at 2.5s: 400ms", "at 3.5s: 400ms")
	})
}
