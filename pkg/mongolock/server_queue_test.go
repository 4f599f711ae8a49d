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
	"strings"
	"testing"
	"time"
)

// waiting is a call of Lock in the background.
type waiting struct {
	cancel context.CancelFunc
	result chan *Lease
	failed chan error
}

func startWaiting(t *testing.T, c *Client, id string, opts ...LockOption) *waiting {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	w := &waiting{cancel: cancel, result: make(chan *Lease, 1), failed: make(chan error, 1)}
	go func() {
		lease, err := c.Lock(ctx, id, opts...)
		if err != nil {
			w.failed <- err
			return
		}
		w.result <- lease
	}()
	t.Cleanup(cancel)
	return w
}

// waitInLine starts waiting and returns when the server knows of it.
func waitInLine(t *testing.T, c *Client, id string, n int, opts ...LockOption) *waiting {
	t.Helper()
	w := startWaiting(t, c, id, opts...)
	eventually(t, 10*time.Second, fmt.Sprintf("%d wait for %s", n, id), func() bool {
		state, err := c.Get(t.Context(), id)
		return err == nil && len(state.Waiters) == n
	})
	return w
}

func owners(waiters []Waiter) string {
	var names []string
	for _, w := range waiters {
		names = append(names, w.Owner)
	}
	return strings.Join(names, " ")
}

// Waiters are visible, are granted the lock in the order of their arrival, each at the release of the one before, with the events in
// order and tokens that grow.
func TestQueueIsFirstComeFirst(t *testing.T) {
	s := newTestServer(t)
	held := mustLock(t, s.client(t, WithOwner("holder")), "x")
	var waits []*waiting
	var want []string
	for i := range 5 {
		want = append(want, fmt.Sprint(i))
		waits = append(waits, waitInLine(t, s.client(t, WithOwner(want[i])), "x", i+1))
	}
	observer := s.client(t)
	state, err := observer.Get(t.Context(), "x")
	if err != nil || owners(state.Waiters) != strings.Join(want, " ") {
		t.Errorf("waiters %q, %v; want %q", owners(state.Waiters), err, want)
	}
	for state, err := range observer.List(t.Context()) {
		if err != nil || len(state.Waiters) != 5 {
			t.Errorf("List: %d waiters, %v", len(state.Waiters), err)
		}
	}
	for i, w := range waits {
		before := held.Token()
		mustUnlock(t, held)
		held = await(t, 2*time.Second, "the next waiter is granted the lock", w.result)
		if held.Owner() != want[i] || held.Token() <= before {
			t.Fatalf("granted to %q with token %d after %d, want %q", held.Owner(), held.Token(), before, want[i])
		}
		if left := time.Until(held.Deadline()); left < DefaultLease/2 {
			t.Errorf("a lock that was handed over has %s left, want a whole lease", left)
		}
	}
	mustUnlock(t, held)
	doc := s.stored(t, "x")
	if len(doc.State.Holders) != 0 || len(doc.State.Waiters) != 0 || doc.State.Grants != 6 {
		t.Errorf("left: %+v", doc)
	}
	for i, e := range doc.State.Events {
		if e.Seq != int64(i+1) || (e.Type == string(EventAcquired)) != (i%2 == 0) {
			t.Errorf("event %d is %+v", i, e)
		}
	}
}

// Nobody overtakes those who wait, except who asks for it.
func TestTryLockDoesNotOvertake(t *testing.T) {
	s := newTestServer(t)
	c := s.client(t)
	if err := c.SetPolicy(t.Context(), "x", Policy{Suspended: true}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.TryLock(t.Context(), "x"); !errors.Is(err, ErrHeld) || !strings.Contains(err.Error(), "suspended") {
		t.Errorf("TryLock of a suspended lock: %v", err)
	}
	w := waitInLine(t, s.client(t), "x", 1) // nobody holds it, and yet somebody waits
	s.setStored(t, "x", "policy.suspended", false)
	_, err := c.TryLock(t.Context(), "x")
	var held *HeldError
	if !errors.As(err, &held) || held.Waiting != 1 || held.Owner != "" {
		t.Errorf("TryLock before a waiter: %v (%+v), want a HeldError with one waiting", err, held)
	}
	lease := mustLock(t, c, "x", WithoutQueue())
	mustUnlock(t, lease)
	mustUnlock(t, await(t, 7*time.Second, "the waiter is granted the lock", w.result))
}

// A waiter that leaves has no place any more, whatever it was doing, and nor has it the lock.
func TestCancelledWaiterLeavesNothing(t *testing.T) {
	s := newTestServer(t)
	holder := s.client(t)
	held := mustLock(t, holder, "x")
	first := waitInLine(t, s.client(t, WithOwner("first")), "x", 1)
	closing := s.client(t, WithOwner("second"))
	second := waitInLine(t, closing, "x", 2)
	first.cancel()
	err := await(t, 10*time.Second, "Lock returns", first.failed)
	if !errors.Is(err, context.Canceled) || !errors.Is(err, ErrHeld) {
		t.Errorf("Lock: %v, want context.Canceled and ErrHeld", err)
	}
	eventually(t, 10*time.Second, "the place is free", func() bool { return len(s.stored(t, "x").State.Waiters) == 1 })
	if err := closing.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if err := await(t, 10*time.Second, "Lock returns", second.failed); !errors.Is(err, ErrClosed) {
		t.Errorf("Lock: %v, want ErrClosed", err)
	}
	if waiters := s.stored(t, "x").State.Waiters; len(waiters) != 0 {
		t.Errorf("%d waiters are left after Close", len(waiters))
	}
	mustUnlock(t, held)
	mustUnlock(t, mustLock(t, holder, "x"))
}

// A waiter that died keeps the others waiting for two seconds if it was the next, and not at all once its place has ended.
func TestDeadWaiters(t *testing.T) {
	s := newTestServer(t)
	c := s.client(t)
	held := mustLock(t, c, "x")
	dead := newAcquisition("x", c.settings.lock)
	if _, err := c.store.queue(t.Context(), dead); err != nil {
		t.Fatal(err)
	}
	w := waitInLine(t, s.client(t), "x", 2)
	mustUnlock(t, held)
	start := time.Now()
	held = await(t, 10*time.Second, "the living waiter is granted the lock", w.result)
	if took := time.Since(start); took < confirmTime || took > 4*confirmTime {
		t.Errorf("a dead waiter cost %s, want %s and a little", took, confirmTime)
	}
	dead = newAcquisition("x", c.settings.lock)
	if _, err := c.store.queue(t.Context(), dead); err != nil {
		t.Fatal(err)
	}
	s.setStored(t, "x", "state.waiters.0.expiresAt", time.Now().Add(-time.Second))
	w = startWaiting(t, s.client(t), "x")
	eventually(t, 5*time.Second, "the dead waiter is taken out", func() bool {
		waiters := s.stored(t, "x").State.Waiters
		return len(waiters) == 1 && waiters[0].ID != dead.holderID
	})
	start = time.Now()
	mustUnlock(t, held)
	held = await(t, 10*time.Second, "the living waiter is granted the lock", w.result)
	if took := time.Since(start); took > confirmTime {
		t.Errorf("a waiter known to be dead cost %s", took)
	}
	mustUnlock(t, held)
}

// A holder that dies costs its lease: then the next waiter takes over.
func TestWaiterTakesOverFromADeadHolder(t *testing.T) {
	s := newTestServer(t)
	dead := mustLock(t, s.client(t), "x", WithLease(time.Second), WithAutoRenew(false))
	w := waitInLine(t, s.client(t), "x", 1)
	lease := await(t, 5*time.Second, "the waiter takes over", w.result)
	if delay := lease.AcquiredAt().Sub(dead.AcquiredAt()); delay < time.Second || delay > 4*time.Second {
		t.Errorf("taken over %s after a grant of a second", delay)
	}
	mustUnlock(t, lease)
}

// The goroutines of a process have one place in the queue, and among themselves the order of their calls.
func TestGoroutinesOfAProcessWaitInALine(t *testing.T) {
	s := newTestServer(t)
	held := mustLock(t, s.client(t), "x")
	c := s.client(t)
	order := make(chan int, 50)
	done := make(chan struct{})
	for i := range 50 {
		go func() {
			defer func() { done <- struct{}{} }()
			err := c.Do(t.Context(), "x", func(context.Context, *Lease) error {
				order <- i
				return nil
			})
			if err != nil {
				t.Error(err)
			}
		}()
		eventually(t, 5*time.Second, "it waits", func() bool {
			c.lines.mu.Lock()
			defer c.lines.mu.Unlock()
			return len(c.lines.turns["x"]) == i+1
		})
	}
	eventually(t, 5*time.Second, "one of them is in the queue", func() bool { return len(s.stored(t, "x").State.Waiters) == 1 })
	mustUnlock(t, held)
	for range 50 {
		await(t, 20*time.Second, "all have had the lock", done)
	}
	close(order)
	var got []int
	for i := range order {
		got = append(got, i)
	}
	if !slices.IsSorted(got) || len(got) != 50 {
		t.Errorf("the lock was granted in the order %v", got)
	}
	if doc := s.stored(t, "x"); doc.State.Grants != 51 || len(doc.State.Holders)+len(doc.State.Waiters) != 0 {
		t.Errorf("left: %+v", doc)
	}
}

// A queue has its limit, with an error that says so.
func TestQueueIsFull(t *testing.T) {
	s := newTestServer(t)
	c := s.client(t)
	held := mustLock(t, c, "x")
	// Those in front are written by hand: a waiter is forgotten after some seconds, and a slow machine needs longer than that for so many.
	join := func() *document {
		a := newAcquisition("x", c.settings.lock)
		a.owner = strings.Repeat("w", MaxOwnerBytes)
		doc, err := c.store.queue(t.Context(), a)
		if err != nil || doc.Place < 0 {
			t.Fatalf("queue: %+v, %v", doc, err)
		}
		return doc
	}
	join()
	first := s.stored(t, "x").State.Waiters[0]
	first.ExpiresAt = first.ExpiresAt.Add(time.Hour)
	waiters := slices.Repeat([]waiterDoc{first}, MaxWaiters-1)
	for i := range waiters {
		waiters[i].ID = newHolderID()
	}
	s.setStored(t, "x", "state.waiters", waiters)
	if doc := join(); doc.Place != MaxWaiters-1 {
		t.Fatalf("the last one's place is %d, want %d", doc.Place, MaxWaiters-1)
	}
	before := s.raw(t, "x")
	if _, err := c.Lock(t.Context(), "x"); !errors.Is(err, ErrQueueFull) || !strings.Contains(err.Error(), fmt.Sprint(MaxWaiters)) {
		t.Errorf("Lock: %v, want ErrQueueFull", err)
	}
	if after := s.raw(t, "x"); len(after) != len(before) {
		t.Errorf("the document grew from %d to %d bytes", len(before), len(after))
	}
	mustUnlock(t, held)
}
