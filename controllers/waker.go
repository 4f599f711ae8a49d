/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package controllers

import (
	"context"
	"errors"
	"maps"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/mongolock/operator/api/v1alpha1"
)

const (
	// window is the least time between two looks at an object for changes of its lock: the first change of a calm lock is looked at at
	// once, and what follows within the window is one look more, so that a busy lock causes about ten writes a second at most.
	window = 100 * time.Millisecond
	// manyRecent is from how many recent looks on the old ones are dropped.
	manyRecent = 1000
	// queueWindow is how long a change of a lock's queue waits: how many wait is worth knowing, and not a write each time.
	queueWindow = 5 * time.Second

	// lockIDIndex is the cache index from a lock's id to the objects that mirror it.
	lockIDIndex = "lockID"
)

// lockIDs is the index function of lockIDIndex.
func lockIDs(o client.Object) []string {
	lock, ok := o.(*v1alpha1.DistributedLock)
	if !ok {
		return nil
	}
	return []string{lock.LockID()}
}

// waker puts objects into the controller's queue. It never waits: the queue is not bounded, and keeps one entry per object.
type waker struct {
	cache client.Reader
	clock clock.PassiveClock
	log   logr.Logger
	// everything: all locks are wanted, also those without an object, and the discovery is told of them.
	everything bool

	mu    sync.Mutex
	queue workqueue.TypedRateLimitingInterface[reconcile.Request]
	ids   workqueue.TypedRateLimitingInterface[string] // of the discovery
	// recent is when locks were last woken, or are about to be.
	recent map[string]time.Time
}

func newWaker(cache client.Reader, c clock.PassiveClock, log logr.Logger) *waker {
	return &waker{cache: cache, clock: c, log: log, recent: map[string]time.Time{}}
}

// attach is the start of the controller's source: it hands over the queue. What happened before is not lost, because every object is
// reconciled once after that, and reads the mirror then.
func (w *waker) attach(_ context.Context, queue workqueue.TypedRateLimitingInterface[reconcile.Request]) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.queue = queue
	return nil
}

// discover hands over the queue of the discovery.
func (w *waker) discover(ids workqueue.TypedRateLimitingInterface[string]) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ids = ids
}

// objectQueue is the controller's queue, nil before it has started.
func (w *waker) objectQueue() workqueue.TypedRateLimitingInterface[reconcile.Request] {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.queue
}

// lockQueue is the queue of the discovery, nil if there is none or this replica does not lead.
func (w *waker) lockQueue() workqueue.TypedRateLimitingInterface[string] {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.ids
}

// lock wakes the objects that mirror a lock.
func (w *waker) lock(ctx context.Context, id string) {
	after := w.pace(id)
	w.add(ctx, after, 0, client.MatchingFields{lockIDIndex: id})
	if queue := w.lockQueue(); queue != nil {
		queue.AddAfter(id, after)
	}
}

// pace tells how long a lock's wake-up waits, so that two of them are a window apart.
func (w *waker) pace(id string) time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := w.clock.Now()
	if len(w.recent) > manyRecent {
		maps.DeleteFunc(w.recent, func(_ string, at time.Time) bool { return now.Sub(at) >= window })
	}
	next := w.recent[id].Add(window)
	switch last := w.recent[id]; {
	case last.After(now):
		next = last // that look sees this change, too
	case next.Before(now):
		next = now
	}
	w.recent[id] = next
	return next.Sub(now)
}

// lockLater wakes them in a while.
func (w *waker) lockLater(ctx context.Context, id string) {
	w.add(ctx, queueWindow, 0, client.MatchingFields{lockIDIndex: id})
}

// hasObject tells whether an object mirrors the lock.
func (w *waker) hasObject(ctx context.Context, id string) bool {
	var locks v1alpha1.DistributedLockList
	err := w.cache.List(ctx, &locks, client.MatchingFields{lockIDIndex: id}, client.UnsafeDisableDeepCopyOption(true))
	return err != nil || len(locks.Items) > 0
}

// wanted tells whether the state of the lock is to be kept.
func (w *waker) wanted(ctx context.Context, id string) bool {
	return w.everything || w.hasObject(ctx, id)
}

// all wakes all objects, each at a random moment within spread, and the discovery for these locks and for those of the objects.
func (w *waker) all(ctx context.Context, spread time.Duration, known []string) {
	objects := w.add(ctx, window, spread)
	queue := w.lockQueue()
	if queue == nil {
		return
	}
	for _, id := range known {
		queue.Add(id)
	}
	for i := range objects {
		queue.Add(objects[i].LockID())
	}
}

// add wakes the objects that opts select, and returns them: they belong to the cache.
func (w *waker) add(ctx context.Context, after, spread time.Duration, opts ...client.ListOption) []v1alpha1.DistributedLock {
	queue := w.objectQueue()
	if queue == nil {
		return nil
	}
	var locks v1alpha1.DistributedLockList
	// The items are only read, so the cache need not copy them.
	if err := w.cache.List(ctx, &locks, append(opts, client.UnsafeDisableDeepCopyOption(true))...); err != nil {
		if ctx.Err() == nil {
			w.log.Error(err, "Could not list the objects in the cache")
		}
		return nil
	}
	for i := range locks.Items {
		delay := after
		if spread > 0 {
			delay += rand.N(spread)
		}
		enqueue(queue, &locks.Items[i], delay)
	}
	return locks.Items
}

func enqueue(queue workqueue.TypedRateLimitingInterface[reconcile.Request], lock *v1alpha1.DistributedLock, after time.Duration) {
	queue.AddAfter(reconcile.Request{NamespacedName: client.ObjectKeyFromObject(lock)}, after)
}

// errNotStarted is what the readiness check says until the controller runs.
var errNotStarted = errors.New("the controller has not started yet")
