/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package mongolock

import (
	"errors"
	"maps"
	"slices"
	"testing"
	"time"
)

// TryLock returns at once: with a lease, or with who holds the lock.
func proveTryLock(t *testing.T, s *testServer) {
	lease, err := s.client(t, WithOwner("a")).TryLock(t.Context(), "x")
	if err != nil || lease.Err() != nil || lease.Token() <= 0 {
		t.Fatalf("TryLock: %+v, %v", lease, err)
	}
	_, err = s.client(t, WithOwner("b")).TryLock(t.Context(), "x")
	var held *HeldError
	if !errors.Is(err, ErrHeld) || !errors.As(err, &held) || held.Owner != "a" || held.Token != lease.Token() || held.Remaining <= 0 {
		t.Errorf("TryLock of a held lock: %v, want ErrHeld by a", err)
	}
	mustUnlock(t, lease)
}

// Lock waits until the lock is free.
func proveLock(t *testing.T, s *testServer) {
	held := mustLock(t, s.client(t), "x")
	w := waitInLine(t, s.client(t), "x", 1)
	select {
	case <-w.result:
		t.Error("granted while it was held")
	default:
	}
	mustUnlock(t, held)
	lease := await(t, 4*time.Second, "Lock has waited long enough", w.result)
	if lease.Token() <= held.Token() {
		t.Errorf("token %d after %d", lease.Token(), held.Token())
	}
	mustUnlock(t, lease)
}

// Unlock frees the lock, and says so when there was nothing to free.
func proveUnlock(t *testing.T, s *testServer) {
	c, other := s.client(t), s.client(t)
	lease := mustLock(t, c, "x")
	mustUnlock(t, lease)
	next := mustLock(t, other, "x")
	if err := lease.Unlock(t.Context()); !errors.Is(err, ErrNotHeld) {
		t.Errorf("second Unlock: %v, want ErrNotHeld", err)
	}
	if state, err := c.Get(t.Context(), "x"); err != nil || !state.Held() || next.Err() != nil {
		t.Errorf("the next holder's lock: %+v, %v, %v", state.Holders, err, next.Err())
	}
	mustUnlock(t, next)
	lost := mustLock(t, c, "x", WithLease(2*time.Second), WithAutoRenew(false))
	await(t, 10*time.Second, "the lease ends", lost.Done())
	if err := lost.Unlock(t.Context()); !errors.Is(err, ErrNotHeld) || !errors.Is(err, ErrLeaseLost) {
		t.Errorf("Unlock of a lost lease: %v, want ErrNotHeld and ErrLeaseLost", err)
	}
}

// Everybody who watches an id sees everything that happens to the lock, whoever does it, in order.
func proveWatch(t *testing.T, s *testServer) {
	c := s.client(t)
	var watchers []*Watcher
	for range 3 {
		w, err := s.client(t).Watch(t.Context(), "x")
		if err != nil {
			t.Fatal(err)
		}
		defer w.Close()
		eventually(t, 5*time.Second, "the watcher has begun", w.Synced)
		watchers = append(watchers, w)
	}
	mustUnlock(t, mustLock(t, c, "x"))
	evicted := mustLock(t, c, "x")
	if err := c.Evict(t.Context(), "x", evicted.Token(), "maintenance"); err != nil {
		t.Fatal(err)
	}
	mustLock(t, c, "x", WithLease(2*time.Second), WithAutoRenew(false))
	want := []EventType{EventAcquired, EventReleased, EventAcquired, EventEvicted, EventAcquired, EventExpired}
	for i, w := range watchers {
		var seen []EventType
		for len(seen) < len(want) {
			change := await(t, 15*time.Second, "the watcher sees all", w.Changes())
			for _, e := range change.Events {
				seen = append(seen, e.Type)
				if e.Seq != int64(len(seen)) || (e.Type == EventEvicted) != (e.Reason == "maintenance") {
					t.Errorf("watcher %d: event %d is %+v", i, len(seen), e)
				}
			}
		}
		if !slices.Equal(seen, want) {
			t.Errorf("watcher %d saw %v, want %v", i, seen, want)
		}
	}
}

// Close gives back what is held, or leaves it to expire as mongo-dlock does.
func proveClose(t *testing.T, s *testServer) {
	observer := s.client(t)
	releasing, keeping := s.client(t), s.client(t, WithoutRelease())
	leases := []*Lease{
		mustLock(t, releasing, "released"),
		mustLock(t, keeping, "kept", WithLease(time.Second)),
	}
	for _, c := range []*Client{releasing, keeping} {
		if err := c.Close(t.Context()); err != nil {
			t.Error(err)
		}
		if _, err := c.TryLock(t.Context(), "y"); !errors.Is(err, ErrClosed) {
			t.Errorf("TryLock: %v, want ErrClosed", err)
		}
	}
	for _, l := range leases {
		await(t, time.Second, "the lease is over for its holder", l.Done())
	}
	state, err := observer.Get(t.Context(), "released")
	if err != nil || state.Held() || state.Events[1].Type != EventReleased {
		t.Errorf("released by Close: %+v, %v", state, err)
	}
	next, err := observer.Lock(t.Context(), "kept")
	if err != nil {
		t.Fatal(err)
	}
	if delay := next.AcquiredAt().Sub(leases[1].AcquiredAt()); delay < time.Second {
		t.Errorf("left to expire, it was free after %s of a lease of 1 s", delay)
	}
	mustUnlock(t, next)
	if state, err := observer.Get(t.Context(), "kept"); err != nil || state.Events[1].Type != EventExpired {
		t.Errorf("left to expire: %+v, %v", state.Events, err)
	}
}

// Get tells whether a lock is held, List which are, and both what the holder says of itself.
func proveInspection(t *testing.T, s *testServer) {
	c := s.client(t)
	about := map[string]string{"pod": "worker-1", "job": "42"}
	mustUnlock(t, mustLock(t, c, "free"))
	lease := mustLock(t, c, "held", WithMetadata(about))
	for id, want := range map[string]bool{"free": false, "held": true, "never": false} {
		if state, err := c.Get(t.Context(), id); err != nil || state.Held() != want || state.Exists != (id != "never") {
			t.Errorf("%q: %+v, %v", id, state, err)
		}
	}
	var active []string
	for state, err := range c.List(t.Context(), HeldOnly()) {
		if err != nil {
			t.Fatal(err)
		}
		active = append(active, state.ID)
		if !maps.Equal(state.Holders[0].Metadata, about) {
			t.Errorf("metadata %v, want %v", state.Holders[0].Metadata, about)
		}
	}
	if !slices.Equal(active, []string{"held"}) {
		t.Errorf("active locks: %v", active)
	}
	mustUnlock(t, lease)
}
