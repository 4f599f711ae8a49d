/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package controllers

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/controller/priorityqueue"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/mongolock/operator/api/v1alpha1"
	"github.com/mongolock/operator/pkg/mongolock"
)

// mirroring is a running mirror whose queue nobody drains unless the test does.
type mirroring struct {
	*testing.T
	*Mirror
	queue priorityqueue.PriorityQueue[reconcile.Request]
}

func newMirroring(t *testing.T, store Store, names ...string) *mirroring {
	t.Helper()
	builder := fake.NewClientBuilder().WithScheme(scheme).WithIndex(&v1alpha1.DistributedLock{}, lockIDIndex, lockIDs)
	for _, name := range names {
		lock := newLock("")
		lock.Name = name
		builder.WithObjects(lock)
	}
	queue := priorityqueue.New[reconcile.Request]("test-" + t.Name())
	wake := newWaker(builder.Build(), clock.RealClock{}, logr.Discard())
	if err := wake.attach(t.Context(), queue); err != nil {
		t.Fatal(err)
	}
	return runMirror(t, newMirror(store, clock.RealClock{}, logr.Discard(), wake), queue)
}

func runMirror(t *testing.T, mirror *Mirror, queue priorityqueue.PriorityQueue[reconcile.Request]) *mirroring {
	t.Helper()
	m := &mirroring{T: t, Mirror: mirror, queue: queue}
	var running sync.WaitGroup
	running.Go(func() {
		if err := m.Start(t.Context()); err != nil {
			t.Errorf("the mirror ended: %v", err)
		}
	})
	t.Cleanup(func() { // after the context of the test has ended
		running.Wait()
		if queue != nil {
			queue.ShutDown()
		}
	})
	return m
}

// follows waits until the feed is followed: its beginning makes the answers of looks before it worthless, and who asked has to ask again.
func (m *mirroring) follows() {
	m.Helper()
	m.eventually("the feed is followed", m.Healthy)
}

func (m *mirroring) eventually(what string, holds func() bool) {
	m.Helper()
	eventually(m.T, soon, what, holds)
}

// The feed is taken in at once, although nobody reconciles, and what waits is bounded by the number of objects.
func TestFeedDoesNotWaitForTheQueue(t *testing.T) {
	feed := newFakeFeed()
	var names []string
	for i := range 10 {
		names = append(names, fmt.Sprint("lock-", i))
	}
	m := newMirroring(t, &fakeStore{feed: feed}, names...)
	const rounds = 100
	for round := range int64(rounds) {
		for _, name := range append(names, "without-object") {
			select {
			case feed.changes <- mongolock.Change{State: mongolock.State{ID: "orders/" + name, Exists: true, Seq: round}}:
			case <-time.After(soon):
				t.Fatalf("the mirror is stuck in round %d", round)
			}
		}
	}
	m.eventually("the last change is seen", func() bool { return m.View("orders/lock-9").State.Seq == rounds-1 })
	m.eventually("each object waits once", func() bool { return m.queue.Len() == len(names) })
	if !m.View("orders/without-object").Unknown {
		t.Error("the state of a lock is kept that no object wants")
	}
}

// Without an object that mirrors it, a lock wakes nobody.
func TestOnlyTheLocksObjectsAreWoken(t *testing.T) {
	feed := newFakeFeed()
	m := newMirroring(t, &fakeStore{feed: feed}, "mine", "other")
	m.eventually("all objects at the start", func() bool { return m.queue.Len() == 2 })
	for range 2 {
		request, _ := m.queue.Get()
		m.queue.Done(request)
	}
	feed.changes <- mongolock.Change{State: mongolock.State{ID: "orders/mine", Exists: true, Seq: 1}}
	request, _ := m.queue.Get()
	if want := (client.ObjectKey{Namespace: "orders", Name: "mine"}); request.NamespacedName != want {
		t.Errorf("woke %s, want %s", request, want)
	}
	m.queue.Done(request)
	if n := m.queue.Len(); n > 0 {
		t.Errorf("%d more were woken", n)
	}
}

// A lock is absent only when MongoDB says so: not because the feed has not told of it yet.
func TestAbsenceIsConfirmed(t *testing.T) {
	store := &fakeStore{
		feed:    newFakeFeed(),
		states:  map[string]mongolock.State{"orders/coming": {Exists: true}},
		foreign: map[string]bool{"orders/foreign": true},
	}
	m := newMirroring(t, store)
	m.follows()
	for _, id := range []string{"orders/absent", "orders/coming", "orders/foreign"} {
		if !m.View(id).Unknown {
			t.Errorf("%s is known before it was looked at", id)
		}
		m.Check(id)
	}
	m.eventually("the answers", func() bool { return !m.View("orders/absent").Unknown && !m.View("orders/foreign").Unknown })
	if m.View("orders/absent").Foreign || !m.View("orders/foreign").Foreign {
		t.Error("the foreign document is mistaken")
	}
	// Many are looked up with few queries.
	store.mu.Lock()
	before := store.finds
	const many = 3*checkBatch - 1
	for i := range many {
		m.Check(fmt.Sprint("orders/", i)) // the store does not answer yet
	}
	store.mu.Unlock()
	m.eventually("the answers for many", func() bool {
		m.mu.RLock()
		defer m.mu.RUnlock()
		return len(m.absent) == many+2
	})
	store.mu.Lock()
	if finds := store.finds - before; finds > 4 {
		t.Errorf("%d queries for %d locks", finds, many)
	}
	store.mu.Unlock()
	m.eventually("all are looked at", func() bool {
		m.mu.RLock()
		defer m.mu.RUnlock()
		return len(m.asked) == 0
	})
	if view := m.View("orders/coming"); view.Unknown || !view.State.Exists {
		t.Errorf("what was looked up is not kept: %+v", view)
	}
	store.feed.changes <- mongolock.Change{State: mongolock.State{ID: "orders/foreign", Exists: true}}
	m.eventually("it has become a lock", func() bool { return !m.View("orders/foreign").Foreign })
}

// What was looked up does not replace what the feed told of meanwhile.
func TestLookIsOvertaken(t *testing.T) {
	feed := newFakeFeed()
	m := newMirroring(t, &fakeStore{feed: feed}, "one")
	m.follows()
	const id = "orders/one"
	m.Check(id)
	m.eventually("looked up", func() bool { return !m.View(id).Unknown })
	m.mu.Lock()
	m.checking[id] = false // a look begins
	m.mu.Unlock()
	feed.changes <- mongolock.Change{State: mongolock.State{ID: id, Exists: true, Seq: 2}}
	feed.changes <- mongolock.Change{State: mongolock.State{ID: id}} // purged
	m.eventually("overtaken", func() bool {
		m.mu.RLock()
		defer m.mu.RUnlock()
		_, known := m.locks[id]
		return m.checking[id] && !known
	})
	if news := m.learn(id, mongolock.State{ID: id, Exists: true, Seq: 1}, absence{}); !news || m.View(id).State.Exists {
		t.Errorf("news %t, view %+v", news, m.View(id))
	}
}

// A lock that a look found, and that was deleted before the feed saw it, does not stay in the picture.
func TestLookedUpAndDeleted(t *testing.T) {
	const id = "orders/one"
	store := &fakeStore{feed: newFakeFeed(), states: map[string]mongolock.State{id: {Exists: true}}}
	m := newMirroring(t, store, "one")
	m.follows()
	m.Check(id)
	m.eventually("found", func() bool { return m.View(id).State.Exists })
	store.mu.Lock()
	clear(store.states)
	store.mu.Unlock()
	m.mu.Lock()
	if len(m.recheck) != 1 {
		t.Errorf("%d locks are to be looked up again", len(m.recheck))
	}
	m.recheck[id] = m.clock.Now() // as recheckAfter later
	m.mu.Unlock()
	m.eventually("gone", func() bool { v := m.View(id); return !v.State.Exists && !v.Unknown })

	// What the feed tells of need not be looked up again.
	m.mu.Lock()
	m.recheck[id] = m.clock.Now().Add(time.Hour)
	m.mu.Unlock()
	store.feed.changes <- mongolock.Change{State: mongolock.State{ID: id, Exists: true, Seq: 2}}
	m.eventually("told", func() bool { return m.View(id).State.Exists })
	m.mu.RLock()
	defer m.mu.RUnlock()
	if len(m.recheck) > 0 {
		t.Error("it is to be looked up again")
	}
}

// A feed that ends is opened again, and what it told of is not believed any more.
func TestFeedIsOpenedAgain(t *testing.T) {
	first, second := newFakeFeed(), newFakeFeed()
	store := &fakeStore{feed: first}
	m := newMirroring(t, store, "old", "new")
	first.changes <- mongolock.Change{State: mongolock.State{ID: "orders/old", Exists: true}}
	m.eventually("the first feed is read", func() bool { return !m.View("orders/old").Unknown })
	store.use(second)
	close(first.changes)
	second.changes <- mongolock.Change{State: mongolock.State{ID: "orders/new", Exists: true}}
	m.eventually("the second feed is read", func() bool { return !m.View("orders/new").Unknown && m.View("orders/old").Unknown })
	if !first.isClosed() {
		t.Error("the first feed was not closed")
	}
}

// Why there is no store can change.
func TestReasonWithoutAStore(t *testing.T) {
	var reason atomic.Pointer[string]
	reason.Store(ptr.To(v1alpha1.ReasonStoreNotConfigured))
	wake := newWaker(fake.NewClientBuilder().WithScheme(scheme).Build(), clock.RealClock{}, logr.Discard())
	mirror := newMirror(nil, clock.RealClock{}, logr.Discard(), wake)
	mirror.without = func() string { return *reason.Load() }
	m := runMirror(t, mirror, nil)
	health := func() Health { return m.View("any").Health }
	m.eventually("it is said", func() bool { return health().Reason == v1alpha1.ReasonStoreNotConfigured })
	first := health()
	reason.Store(ptr.To(v1alpha1.ReasonStoreUnreachable))
	m.eventually("the other reason is said", func() bool { return health().Reason == v1alpha1.ReasonStoreUnreachable })
	if h := health(); h.Outage != first.Outage || !h.Since.Equal(first.Since) || !h.Failed() {
		t.Errorf("from %+v to %+v", first, h)
	}
}
