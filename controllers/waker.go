/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package controllers

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/mongolock/operator/api/v1alpha1"
)

const (
	// window is how long a change waits for more of the same object: the queue keeps the earliest due time, so a burst becomes one
	// reconcile, and the transitions of a lock cause about five writes a second at most.
	window = 200 * time.Millisecond

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
	log   logr.Logger

	mu    sync.Mutex
	queue workqueue.TypedRateLimitingInterface[reconcile.Request]
}

// attach is the start of the controller's source: it hands over the queue. What happened before is not lost, because every object is
// reconciled once after that, and reads the mirror then.
func (w *waker) attach(_ context.Context, queue workqueue.TypedRateLimitingInterface[reconcile.Request]) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.queue = queue
	return nil
}

// attached tells whether the controller has started.
func (w *waker) attached() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.queue != nil
}

// lock wakes the objects that mirror a lock.
func (w *waker) lock(ctx context.Context, id string) {
	w.add(ctx, 0, client.MatchingFields{lockIDIndex: id})
}

// wanted tells whether an object mirrors the lock.
func (w *waker) wanted(ctx context.Context, id string) bool {
	var locks v1alpha1.DistributedLockList
	err := w.cache.List(ctx, &locks, client.MatchingFields{lockIDIndex: id}, client.UnsafeDisableDeepCopyOption(true))
	return err != nil || len(locks.Items) > 0
}

// all wakes all objects, each at a random moment within spread.
func (w *waker) all(ctx context.Context, spread time.Duration) {
	w.add(ctx, spread)
}

func (w *waker) add(ctx context.Context, spread time.Duration, opts ...client.ListOption) {
	w.mu.Lock()
	queue := w.queue
	w.mu.Unlock()
	if queue == nil {
		return
	}
	var locks v1alpha1.DistributedLockList
	// The items are only read, so the cache need not copy them.
	if err := w.cache.List(ctx, &locks, append(opts, client.UnsafeDisableDeepCopyOption(true))...); err != nil {
		if ctx.Err() == nil {
			w.log.Error(err, "Could not list the objects in the cache")
		}
		return
	}
	for i := range locks.Items {
		after := window
		if spread > 0 {
			after += rand.N(spread)
		}
		queue.AddAfter(reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&locks.Items[i])}, after)
	}
}

// errNotStarted is what the readiness check says until the controller runs.
var errNotStarted = errors.New("the controller has not started yet")
