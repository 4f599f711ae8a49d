/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package mongolock

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// atOnce is how soon a waiter has a lock that was handed over to it, at most: less than it would take to notice by asking again.
const atOnce = time.Second

func mustSetPolicy(t *testing.T, c *Client, id string, p Policy) {
	t.Helper()
	if err := c.SetPolicy(t.Context(), id, p); err != nil {
		t.Fatal(err)
	}
}

// checkRefused sees that TryLock is refused because of others.
func checkRefused(t *testing.T, what string, c *Client, id string, opts ...LockOption) {
	t.Helper()
	lease, err := c.TryLock(t.Context(), id, opts...)
	if !errors.Is(err, ErrHeld) {
		t.Errorf("%s: %v, want ErrHeld", what, err)
	}
	if lease != nil {
		mustUnlock(t, lease)
	}
}

// checkWaits sees that a waiter has not been granted the lock.
func checkWaits(t *testing.T, what string, w *waiting) {
	t.Helper()
	select {
	case lease := <-w.result:
		t.Errorf("%s: granted token %d, want it to wait", what, lease.Token())
	case err := <-w.failed:
		t.Errorf("%s: %v, want it to wait", what, err)
	default:
	}
}

func TestCapacity(t *testing.T) {
	s := newTestServer(t)
	c, other := s.client(t), s.client(t)
	lease := mustLock(t, c, "x", Shared())
	checkRefused(t, "a second shared holder of a lock without a policy", other, "x", Shared())
	mustUnlock(t, lease)
	mustSetPolicy(t, c, "x", Policy{Capacity: 3})
	var leases []*Lease
	last := int64(0)
	for i := range 3 {
		lease := mustLock(t, []*Client{c, other}[i%2], "x", Shared())
		if lease.Token() <= last {
			t.Errorf("token %d after %d", lease.Token(), last)
		}
		last = lease.Token()
		leases = append(leases, lease)
	}
	checkRefused(t, "a fourth shared holder", other, "x", Shared())
	checkRefused(t, "an exclusive holder among shared ones", other, "x")
	checkRefused(t, "an exclusive holder that does not queue", other, "x", WithoutQueue())
	mustUnlock(t, leases[1])
	leases[1] = mustLock(t, other, "x", Shared())
	state, err := c.Get(t.Context(), "x")
	if err != nil || len(state.Holders) != 3 || !state.Holders[0].Shared || state.Policy.Capacity != 3 || len(state.Waiters) != 0 {
		t.Errorf("state %+v, %v", state, err)
	}
	for i, lease := range leases {
		checkRefused(t, fmt.Sprintf("an exclusive holder beside %d", 3-i), other, "x")
		mustUnlock(t, lease)
	}
	writer := mustLock(t, c, "x")
	checkRefused(t, "a shared holder beside an exclusive one", other, "x", Shared())
	checkRefused(t, "a second exclusive holder", other, "x")
	mustUnlock(t, writer)
}

// Readers that keep coming do not keep a writer waiting: they queue behind it.
func TestReadersDoNotStarveAWriter(t *testing.T) {
	s := newTestServer(t)
	c := s.client(t)
	mustSetPolicy(t, c, "x", Policy{Capacity: MaxCapacity})
	reading := mustLock(t, c, "x", Shared())
	writer := waitInLine(t, s.client(t), "x", 1)
	_, err := c.TryLock(t.Context(), "x", Shared())
	var held *HeldError
	if !errors.As(err, &held) || held.Waiting != 1 {
		t.Errorf("a reader's TryLock before a writer: %v (%+v), want a HeldError with one waiting", err, held)
	}
	reader := waitInLine(t, s.client(t), "x", 2, Shared())
	pushy := mustLock(t, c, "x", Shared(), WithoutQueue())
	mustUnlock(t, reading)
	checkWaits(t, "a writer while somebody reads", writer)
	mustUnlock(t, pushy)
	writing := await(t, atOnce, "the writer is granted the lock", writer.result)
	checkWaits(t, "a reader while somebody writes", reader)
	mustUnlock(t, writing)
	mustUnlock(t, await(t, atOnce, "the reader is granted the lock", reader.result))
}

// Who passes the queue does not mind how long it is.
func TestPassingAFullQueue(t *testing.T) {
	s := newTestServer(t)
	c := s.client(t)
	mustSetPolicy(t, c, "x", Policy{Capacity: 2})
	reading := mustLock(t, c, "x", Shared())
	waiters := make([]waiterDoc, MaxWaiters)
	for i := range waiters {
		a := newAcquisition("x", c.settings.lock)
		waiters[i] = a.entry(time.Now().Add(time.Hour))
	}
	s.setStored(t, "x", "state.waiters", waiters)
	checkRefused(t, "a reader behind a full queue", c, "x", Shared())
	pushy := mustLock(t, c, "x", Shared(), WithoutQueue())
	if n := len(s.stored(t, "x").State.Waiters); n != MaxWaiters {
		t.Errorf("%d waiters are left of %d", n, MaxWaiters)
	}
	s.setStored(t, "x", "state.waiters", bson.A{})
	mustUnlock(t, pushy)
	mustUnlock(t, reading)
}

// A writer's release makes holders of all readers at the head of the queue, as many as there is room for, in one step.
func TestReadersAreGrantedTogether(t *testing.T) {
	s := newTestServer(t)
	c := s.client(t)
	mustSetPolicy(t, c, "x", Policy{Capacity: 3})
	writing := mustLock(t, c, "x")
	var readers []*waiting
	for i := range 4 {
		readers = append(readers, waitInLine(t, s.client(t), "x", i+1, Shared()))
	}
	writer := waitInLine(t, s.client(t), "x", 5)
	last := waitInLine(t, s.client(t), "x", 6, Shared())
	mustUnlock(t, writing)
	var reading []*Lease
	for i, r := range readers[:3] {
		lease := await(t, atOnce, "a reader is granted the lock", r.result)
		if i > 0 && (!lease.AcquiredAt().Equal(reading[0].AcquiredAt()) || lease.Token() != reading[i-1].Token()+1) {
			t.Errorf("reader %d: token %d at %s, want that after %d at %s", i, lease.Token(), lease.AcquiredAt(), reading[i-1].Token(), reading[0].AcquiredAt())
		}
		reading = append(reading, lease)
	}
	checkWaits(t, "the fourth reader", readers[3])
	mustUnlock(t, reading[1])
	reading[1] = await(t, atOnce, "the fourth reader is granted the lock", readers[3].result)
	for _, lease := range reading {
		checkWaits(t, "the writer", writer)
		checkWaits(t, "the reader behind it", last)
		mustUnlock(t, lease)
	}
	mustUnlock(t, await(t, atOnce, "the writer is granted the lock", writer.result))
	mustUnlock(t, await(t, atOnce, "the last reader is granted the lock", last.result))
}

// One that dies among others that live ends on its own, though the document never falls silent.
func TestDeadReaderAmongLivingOnes(t *testing.T) {
	s := newTestServer(t)
	c := s.client(t)
	mustSetPolicy(t, c, "x", Policy{Capacity: 3})
	w := mustWatch(t, s.client(t), "x")
	defer w.Close()
	changes := w.Changes()
	await(t, 5*time.Second, "the watch begins", changes)
	living := []*Lease{
		mustLock(t, c, "x", Shared(), WithLease(time.Second)),
		mustLock(t, s.client(t), "x", Shared(), WithLease(time.Second)),
	}
	dead := mustLock(t, c, "x", Shared(), WithLease(time.Second), WithAutoRenew(false), WithOwner("dead"))
	checkRefused(t, "a fourth", c, "x", Shared())
	var expired *Event
	for expired == nil {
		for _, e := range await(t, 5*time.Second, "the expiry is told", changes).Events {
			if e.Type == EventExpired {
				expired = &e
			}
		}
	}
	if expired.Owner != "dead" || expired.Token != dead.Token() || !expired.At.Equal(dead.AcquiredAt().Add(time.Second)) {
		t.Errorf("expired is %+v, want token %d", expired, dead.Token())
	}
	doc := s.stored(t, "x")
	if late := doc.State.ChangedAt.Sub(expired.At); late > 2*time.Second || len(doc.State.Holders) != 2 {
		t.Errorf("recorded %s after the end of the lease, with %d holders left", late, len(doc.State.Holders))
	}
	fourth := mustLock(t, c, "x", Shared())
	for _, lease := range append(living, fourth) {
		checkHeld(t, lease)
		mustUnlock(t, lease)
	}
}
