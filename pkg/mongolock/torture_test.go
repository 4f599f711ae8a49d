/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package mongolock

import (
	"errors"
	"slices"
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
			s.endLease(t, "x", lease.AcquiredAt())
			if err := lease.Unlock(t.Context()); !errors.Is(err, ErrNotHeld) {
				t.Errorf("unlock returned %v, want ErrNotHeld", err)
			}
			if next != nil {
				mustUnlock(t, await(t, 5*time.Second, "the waiter is granted the lock", next.result))
			}
			if doc := s.stored(t, "x"); doc.exit(EventExpired, lease.Token()) != exitDone {
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

// A lease that ended is told to watchers when its holder's Unlock records that, although Unlock itself fails.
func TestUnlockOfALeaseThatHasEndedRingsTheBell(t *testing.T) {
	f := newTestFeed(t)
	lease := mustLock(t, f.client(t), "x", WithLease(time.Minute))
	watcher, err := f.client(t).Watch(t.Context(), "x")
	if err != nil {
		t.Fatal(err)
	}
	defer watcher.Close()
	eventually(t, 5*time.Second, "the watcher hears", func() bool { return watcher.Synced() && watcher.feed.client.bell.rings() })
	await(t, 5*time.Second, "the watcher is told of the lock as it is", watcher.Changes())
	f.endLease(t, "x", lease.AcquiredAt())
	if err := lease.Unlock(t.Context()); !errors.Is(err, ErrNotHeld) {
		t.Fatalf("unlock returned %v, want ErrNotHeld", err)
	}
	change := await(t, pushedPeriod/2, "the watcher is told", watcher.Changes())
	if len(change.Events) != 1 || change.Events[0].Type != EventExpired {
		t.Errorf("told of %+v, want the expiry", change.Events)
	}
}

// So many wait for a lock, and may share it, that its ring of events has no room for its release: whoever releases it in time is told that
// it was, and whoever does it after the deadline, when nobody can tell, is told that.
func TestUnlockIntoAFullRing(t *testing.T) {
	s := newTestServer(t)
	admin := s.client(t)
	if err := admin.SetPolicy(t.Context(), "x", Policy{Capacity: 2 * ringSize}); err != nil {
		t.Fatal(err)
	}
	readers := make([]*Client, ringSize+1)
	for i := range readers {
		readers[i] = s.client(t, WithDeferredCheck())
	}
	for name, want := range map[string]error{"in time": nil, "after the deadline": ErrOutcomeUnknown} {
		t.Run(name, func(t *testing.T) {
			lease := mustLock(t, admin, "x", WithLease(time.Minute))
			var waiters []*waiting
			for _, reader := range readers {
				waiters = append(waiters, startWaiting(t, reader, "x", Shared()))
			}
			eventually(t, 20*time.Second, "all wait", func() bool { return len(s.stored(t, "x").State.Waiters) == len(readers) })
			if want != nil {
				lease.mu.Lock()
				lease.deadline = admin.now() - time.Second
				lease.mu.Unlock()
			}
			if err := admin.release(t.Context(), lease); !errors.Is(err, want) {
				t.Errorf("released: %v, want %v", err, want)
			}
			lease.end(ErrNotHeld)
			for _, w := range waiters {
				mustUnlock(t, await(t, 10*time.Second, "a reader is granted the lock", w.result))
			}
		})
	}
}

// A late send of an acquisition may be granted the lock anew after its release. A second send of that release takes it out, and the event
// tells of the token that went, not of the one before.
func TestReleaseOfALateGrantTellsItsToken(t *testing.T) {
	s := newTestServer(t)
	c := s.client(t)
	a := newAcquisition("x", c.settings.lock)
	var tokens []int64
	for range 2 {
		doc, err := c.store.acquire(t.Context(), a)
		if err != nil {
			t.Fatal(err)
		}
		h, ok := doc.grant(a.holderID)
		if !ok {
			t.Fatal("not granted")
		}
		tokens = append(tokens, h.Token)
		if gone, err := c.store.release(t.Context(), grant{grantRef: a.ref(), owner: a.owner, token: tokens[0]}); err != nil || gone.how != exitDone {
			t.Fatalf("released: %+v, %v", gone, err)
		}
	}
	var told []int64
	doc := s.stored(t, "x")
	for _, e := range doc.State.Events {
		if e.Type == string(EventReleased) {
			told = append(told, e.Token)
		}
	}
	if !slices.Equal(told, tokens) || len(doc.State.Holders) != 0 {
		t.Errorf("released were %v, and the events tell of %v; holders %v", tokens, told, doc.State.Holders)
	}
}

// The same of a renewal: a lease that was evicted does not come back because a late send of its acquisition is granted the lock under its
// id, or stands in the queue.
func TestEvictedLeaseDoesNotComeBack(t *testing.T) {
	for name, again := range map[string]func(*Client, *testing.T, acquisition) (*document, error){
		"granted anew": func(c *Client, t *testing.T, a acquisition) (*document, error) {
			return c.store.acquire(t.Context(), a)
		},
		"in the queue": func(c *Client, t *testing.T, a acquisition) (*document, error) {
			mustLock(t, c, a.lock, WithOwner("next"))
			return c.store.queue(t.Context(), a)
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newTestServer(t)
			c := s.client(t)
			lease := mustLock(t, c, "x", WithLease(time.Minute), WithAutoRenew(false))
			if err := c.Evict(t.Context(), "x", lease.Token(), "test"); err != nil {
				t.Fatal(err)
			}
			late := newAcquisition("x", c.settings.lock)
			late.holderID = lease.ref.holderID
			if _, err := again(c, t, late); err != nil {
				t.Fatal(err)
			}
			if fates, err := c.store.renew(t.Context(), []grant{{grantRef: lease.ref, token: lease.token}}); err != nil || fates[0] != fateGone {
				t.Errorf("renewal: %v, %v, want that it is gone", fates, err)
			}
			if err := c.release(t.Context(), lease); !errors.Is(err, ErrNotHeld) {
				t.Errorf("release: %v, want ErrNotHeld", err)
			}
		})
	}
}
