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
)

// All times in these tests are those of a synctest bubble, and so exact. A lease has 15 s and a margin of 1 s: it is renewed after
// 5 s, and without a renewal it is over 14 s after the request was sent.
const (
	defaultThird    = DefaultLease / 3
	defaultLifetime = DefaultLease - time.Second
)

func checkLost(t *testing.T, lease *Lease) {
	t.Helper()
	select {
	case <-lease.Done():
	default:
		t.Error("Done is open, want it closed")
	}
	if err := lease.Err(); !errors.Is(err, ErrLeaseLost) {
		t.Errorf("Err: %v, want ErrLeaseLost", err)
	}
}

func checkHeld(t *testing.T, lease *Lease) {
	t.Helper()
	select {
	case <-lease.Done():
		t.Errorf("Done is closed: %v", lease.Err())
	default:
	}
	if err := lease.Err(); err != nil {
		t.Errorf("Err: %v, want nil", err)
	}
}

// checkDoneAt waits for the lease's end and compares when it came.
func checkDoneAt(t *testing.T, lease *Lease, start time.Time, want time.Duration) {
	t.Helper()
	<-lease.Done()
	if got := time.Since(start); got != want {
		t.Errorf("Done after %s, want %s", got, want)
	}
}

// until waits for a time of the bubble.
func until(start time.Time, d time.Duration) {
	time.Sleep(time.Until(start.Add(d)))
	synctest.Wait()
}

func TestRenewalKeepsALeaseForHours(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFakeStore()
		lease := mustLock(t, fakeClient(t, s), "x")
		start := time.Now()
		const hours = 6 * time.Hour
		until(start, hours)
		checkHeld(t, lease)
		calls := s.sent("renew")
		if want := int(hours / defaultThird); len(calls) != want {
			t.Errorf("%d renewals, want %d", len(calls), want)
		}
		for i, call := range calls {
			if want := time.Duration(i+1) * defaultThird; call.at.Sub(start) != want {
				t.Fatalf("renewal %d after %s, want %s", i+1, call.at.Sub(start), want)
			}
		}
		if doc := s.stored("x"); doc.State.Fence != lease.Token() || doc.State.Grants != 1 || doc.State.Seq != 1 {
			t.Errorf("stored is %+v, want the one grant with token %d", doc, lease.Token())
		}
	})
}

// The deadline counts from before the send, in whatever phase the command took its time, and a renewal that hangs, even one that
// ignores its context, does not delay it.
func TestDeadlineCountsFromBeforeTheSend(t *testing.T) {
	const slow = 2 * time.Second
	cases := map[string]struct {
		acquire, renew hook
		want           time.Duration
	}{
		"slow request": {
			acquire: func(_ context.Context, _ fakeCall, apply func()) error { time.Sleep(slow); apply(); return nil },
			renew:   hang, want: defaultLifetime,
		},
		"slow reply": {
			acquire: func(_ context.Context, _ fakeCall, apply func()) error { apply(); time.Sleep(slow); return nil },
			renew:   hang, want: defaultLifetime,
		},
		"slow reply to the first renewal": {
			renew: func(ctx context.Context, call fakeCall, apply func()) error {
				if call.number > 1 {
					return hang(ctx, call, apply)
				}
				apply()
				time.Sleep(slow)
				return nil
			},
			want: defaultThird + defaultLifetime,
		},
		"renewal that cannot be stopped": {
			renew: func(context.Context, fakeCall, func()) error { time.Sleep(time.Hour); return errBroken("renew") },
			want:  defaultLifetime,
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newFakeStore()
				c := fakeClient(t, s)
				s.intercept(func(ctx context.Context, call fakeCall, apply func()) error {
					switch {
					case call.op == "acquire" && tc.acquire != nil:
						return tc.acquire(ctx, call, apply)
					case call.op == "renew":
						return tc.renew(ctx, call, apply)
					}
					apply()
					return nil
				})
				start := time.Now()
				lease := mustLock(t, c, "x")
				if got := time.Until(lease.Deadline()) + time.Since(start); got != defaultLifetime {
					t.Errorf("Deadline is %s after the send, want %s", got, defaultLifetime)
				}
				ctx := lease.Context(t.Context())
				checkDoneAt(t, lease, start, tc.want)
				checkLost(t, lease)
				synctest.Wait()
				if cause := context.Cause(ctx); !errors.Is(cause, ErrLeaseLost) {
					t.Errorf("the cause of the lease's context is %v, want ErrLeaseLost", cause)
				}
				if end := s.stored("x").State.Holders[0].ExpiresAt; !end.After(time.Now()) {
					t.Errorf("the server's end %s is not after the local end %s", end, time.Now().UTC())
				}
			})
		})
	}
}

// Whatever the delays, the server never lets go before the holder does.
func TestServerEndIsNeverEarlier(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFakeStore()
		c := fakeClient(t, s)
		s.intercept(func(ctx context.Context, call fakeCall, apply func()) error {
			delay := jitter(2 * time.Second)
			switch call.number % 4 {
			case 0:
				return hang(ctx, call, apply)
			case 1:
				time.Sleep(delay)
				apply()
			default:
				apply()
				time.Sleep(delay)
			}
			return classify(call.op, ctx.Err())
		})
		start := time.Now()
		for time.Since(start) < time.Hour {
			lease, err := c.Lock(t.Context(), "x", WithMargin(time.Millisecond))
			if err != nil {
				t.Fatal(err)
			}
			for range 50 {
				if h := s.stored("x").State.Holders; lease.Err() == nil && (len(h) != 1 || h[0].ExpiresAt.Before(lease.Deadline())) {
					t.Fatalf("held until %s, but the server has %+v", lease.Deadline().UTC(), h)
				}
				time.Sleep(jitter(time.Second))
			}
			if err := lease.Unlock(t.Context()); err != nil && !errors.Is(err, ErrNotHeld) && !errors.Is(err, ErrOutcomeUnknown) {
				t.Fatal(err)
			}
		}
	})
}

func TestFailedRenewalIsRetriedFast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFakeStore()
		start := time.Now()
		lease := mustLock(t, fakeClient(t, s), "x")
		const outage = 12500 * time.Millisecond
		s.intercept(on("renew", func(ctx context.Context, call fakeCall, apply func()) error {
			if time.Since(start) < outage {
				return unreachable(ctx, call, apply)
			}
			apply()
			return nil
		}))
		until(start, time.Minute)
		checkHeld(t, lease)
		gaps := map[time.Duration]bool{}
		calls := s.sent("renew")
		for i, call := range calls[:len(calls)-1] {
			if call.at.Sub(start) >= outage {
				break
			}
			gap := calls[i+1].at.Sub(call.at)
			gaps[gap] = true
			if gap < DefaultLease/40 || gap > DefaultLease*3/40 {
				t.Errorf("retry after %s, want a twentieth of the lease, give or take a half", gap)
			}
		}
		if len(gaps) < 5 {
			t.Errorf("pauses of %v: want several, all different", gaps)
		}
	})
}

// One connection that hangs costs one attempt, not the lease.
func TestHangingRenewalIsGivenUpInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFakeStore()
		start := time.Now()
		lease := mustLock(t, fakeClient(t, s), "x")
		s.intercept(once("renew", hang))
		until(start, time.Minute)
		checkHeld(t, lease)
		calls := s.sent("renew")
		if gap := calls[1].at.Sub(calls[0].at); gap > DefaultLease/6+DefaultLease*3/40 {
			t.Errorf("tried again after %s, want a sixth of the lease and a short pause", gap)
		}
	})
}

func TestServersNoEndsTheLeaseAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFakeStore()
		start := time.Now()
		lease := mustLock(t, fakeClient(t, s), "x")
		until(start, time.Second)
		s.remove("x")
		checkDoneAt(t, lease, start, defaultThird)
		checkLost(t, lease)
	})
}

// A renewal whose success is told after the deadline changes nothing, and nothing else revives the lease either.
func TestLossIsSticky(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFakeStore()
		start := time.Now()
		lease := mustLock(t, fakeClient(t, s), "x")
		s.intercept(once("renew", func(_ context.Context, _ fakeCall, apply func()) error {
			apply()
			time.Sleep(time.Until(start.Add(20 * time.Second)))
			return nil
		}))
		checkDoneAt(t, lease, start, defaultLifetime)
		first := lease.Err()
		until(start, 21*time.Second)
		checkLost(t, lease)
		if again := lease.Err(); first == nil || again.Error() != first.Error() {
			t.Errorf("Err changed from %v to %v", first, again)
		}
		before := len(s.sent(""))
		if err := lease.Renew(t.Context()); !errors.Is(err, ErrLeaseLost) {
			t.Errorf("Renew: %v, want ErrLeaseLost", err)
		}
		if after := len(s.sent("")); after != before {
			t.Errorf("Renew of a lost lease sent %d commands", after-before)
		}
		until(start, time.Hour)
		if got := len(s.sent("renew")); got != 1 {
			t.Errorf("%d renewals, want none after the loss", got-1)
		}
	})
}
