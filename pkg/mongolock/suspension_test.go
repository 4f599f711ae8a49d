/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package mongolock

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// bootClock goes ahead of the bubble's time when the machine "was suspended".
type bootClock struct {
	start     time.Time
	suspended atomic.Int64
}

func (b *bootClock) now() time.Duration {
	return time.Since(b.start) + time.Duration(b.suspended.Load())
}

func (b *bootClock) suspend(d time.Duration) { b.suspended.Add(int64(d)) }

func TestSuspension(t *testing.T) {
	cases := map[string]struct {
		suspended time.Duration // after one second
		opts      []LockOption
		renew     hook
		want      time.Duration // of the bubble's time; 0: the lease is kept
	}{
		"beyond the deadline":                 {suspended: time.Hour, want: time.Second},
		"to before the deadline, not renewed": {suspended: 5 * time.Second, opts: []LockOption{WithAutoRenew(false)}, want: defaultLifetime - 5*time.Second},
		"to before the deadline, unreachable": {suspended: 5 * time.Second, renew: hang, want: defaultLifetime - 5*time.Second},
		"to before the deadline, renewed":     {suspended: 10 * time.Second},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newFakeStore()
				clock := &bootClock{start: time.Now()}
				c := fakeClientAt(t, s, clock.now)
				lease := mustLock(t, c, "x", tc.opts...)
				if tc.renew != nil {
					s.intercept(on("renew", tc.renew))
				}
				until(clock.start, time.Second)
				clock.suspend(tc.suspended)
				if tc.want == 0 {
					time.Sleep(time.Hour)
					checkHeld(t, lease)
					return
				}
				if tc.suspended > DefaultLease {
					if err := lease.Err(); !errors.Is(err, ErrLeaseLost) {
						t.Errorf("Err at once after the suspension: %v, want ErrLeaseLost", err)
					}
				}
				<-lease.Done()
				if got := time.Since(clock.start); got < tc.want || got > tc.want+suspensionCheck {
					t.Errorf("Done after %s without the suspension, want %s to %s", got, tc.want, tc.want+suspensionCheck)
				}
				checkLost(t, lease)
			})
		})
	}
}

// Done is closed without anybody asking Err.
func TestSuspensionClosesDone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFakeStore()
		s.intercept(on("renew", hang))
		clock := &bootClock{start: time.Now()}
		lease := mustLock(t, fakeClientAt(t, s, clock.now), "x")
		until(clock.start, 500*time.Millisecond)
		clock.suspend(time.Hour)
		<-lease.Done()
		if got := time.Since(clock.start); got > 500*time.Millisecond+suspensionCheck {
			t.Errorf("Done %s after the suspension, want at most %s", got-500*time.Millisecond, suspensionCheck)
		}
	})
}

// A deadline that passed during a suspension has passed, although no timer fired and the server renewed the grant.
func TestRenewalAcrossASuspension(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFakeStore()
		clock := &bootClock{start: time.Now()}
		lease := mustLock(t, fakeClientAt(t, s, clock.now), "x", WithAutoRenew(false))
		until(clock.start, defaultLifetime-time.Second)
		s.intercept(on("renew", func(_ context.Context, _ fakeCall, apply func()) error {
			apply()
			clock.suspend(2 * time.Second)
			return nil
		}))
		if err := lease.Renew(t.Context()); !errors.Is(err, ErrLeaseLost) {
			t.Errorf("Renew: %v, want ErrLeaseLost", err)
		}
		checkLost(t, lease)
	})
}
