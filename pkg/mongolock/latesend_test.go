/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package mongolock

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

// A send that went unanswered may reach the server after its acquisition is over, and find the lock free: nobody looks after such a
// grant, so whoever ends the acquisition has to. Here the first send arrives 1.5 s after it was given up by its caller.
func TestLateSendLeavesNoGrant(t *testing.T) {
	late := func(after time.Duration) hook {
		return once("acquire", func(ctx context.Context, call fakeCall, apply func()) error {
			time.AfterFunc(after, apply)
			return hang(ctx, call, apply)
		})
	}
	for name, tc := range map[string]struct {
		arrives time.Duration
		use     func(t *testing.T, c *Client)
	}{
		"after its caller's context has ended": {1500 * time.Millisecond, func(t *testing.T, c *Client) {
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			defer cancel()
			if _, err := c.TryLock(ctx, "x"); err == nil {
				t.Error("TryLock has succeeded")
			}
		}},
		"after a release": {3500 * time.Millisecond, func(t *testing.T, c *Client) {
			mustUnlock(t, mustLock(t, c, "x"))
		}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newFakeStore()
				c := fakeClient(t, s)
				s.intercept(late(tc.arrives))
				tc.use(t, c)
				time.Sleep(6 * time.Second)
				if s.held("x") {
					t.Error("the lock is held by nobody")
				}
				if s.stored("x").State.Grants == 0 {
					t.Error("the late send has not arrived: the test did not test")
				}
			})
		})
	}
}

// A slow acquisition eats into its first lease; the first renewal counts from its beginning, too.
func TestSlowAcquireIsRenewedInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFakeStore()
		c := fakeClient(t, s)
		sends := 0
		s.intercept(on("acquire", func(ctx context.Context, call fakeCall, apply func()) error {
			if sends++; sends <= 2 {
				return hang(ctx, call, apply)
			}
			time.Sleep(time.Second)
			apply()
			return nil
		}))
		lease := mustLock(t, c, "x", WithMargin(5*time.Second))
		s.intercept(nil)
		time.Sleep(time.Minute)
		if err := lease.Err(); err != nil {
			t.Errorf("lost on a healthy server: %v", err)
		}
	})
}

// However long the lease, an acquisition and a release are repeated fast.
func TestPausesDoNotGrowWithTheLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFakeStore()
		c := fakeClient(t, s)
		for _, op := range []string{"acquire", "renew", "release"} {
			s.intercept(once(op, unreachable))
			start := time.Now()
			lease := mustLock(t, c, "x", WithLease(MaxLease))
			if err := lease.Renew(t.Context()); err != nil {
				t.Error(err)
			}
			mustUnlock(t, lease)
			if took := time.Since(start); took > 10*time.Second {
				t.Errorf("a failed %s cost %s", op, took)
			}
		}
	})
}
