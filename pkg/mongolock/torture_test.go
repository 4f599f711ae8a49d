/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package mongolock

import (
	"errors"
	"testing"
	"time"
)

// What the torture rig found; see docs/torture.md.

// A lease that has ended by the server's clock, because that jumped or because the release came late, is not released any more: who
// unlocks has to learn that somebody else may have had the lock.
func TestUnlockOfALeaseThatHasEndedIsNoSuccess(t *testing.T) {
	for name, contended := range map[string]bool{"alone": false, "with a waiter": true} {
		t.Run(name, func(t *testing.T) {
			s := newTestServer(t)
			lease := mustLock(t, s.client(t), "x", WithLease(time.Minute))
			var next *waiting
			if contended {
				next = startWaiting(t, s.client(t), "x")
				eventually(t, 5*time.Second, "somebody waits", func() bool { return len(s.stored(t, "x").State.Waiters) == 1 })
			}
			past := time.UnixMilli(1)
			s.setStored(t, "x", "state.holders.0.expiresAt", past)
			s.setStored(t, "x", "state.endsAt", past)
			if err := lease.Unlock(t.Context()); !errors.Is(err, ErrNotHeld) {
				t.Errorf("unlock returned %v, want ErrNotHeld", err)
			}
			if next != nil {
				mustUnlock(t, await(t, 5*time.Second, "the waiter is granted the lock", next.result))
			}
			if doc := s.stored(t, "x"); !doc.recorded(EventExpired, lease.Token()) || doc.recorded(EventReleased, lease.Token()) {
				t.Errorf("events %v, want the lease's expiry", doc.State.Events)
			}
		})
	}
}

// A document whose state somebody has overwritten is not written to, not even by a renewal.
func TestRenewalDoesNotWriteIntoASpoiltState(t *testing.T) {
	s := newTestServer(t)
	lease := mustLock(t, s.client(t), "x", WithLease(time.Minute))
	s.setStored(t, "x", "state", "rubbish")
	before := s.raw(t, "x")
	if err := lease.Renew(t.Context()); !errors.Is(err, ErrLeaseLost) && !errors.Is(err, ErrForeignDocument) {
		t.Errorf("renew returned %v, want ErrLeaseLost or ErrForeignDocument", err)
	}
	if after := s.raw(t, "x"); string(after) != string(before) {
		t.Errorf("the document became %s", after)
	}
}
