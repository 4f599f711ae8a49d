/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package controllers

import (
	"context"
	"math/rand/v2"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/manager"

	"github.com/mongolock/operator/api/v1alpha1"
)

// auditPeriod is about how often all objects are compared with the mirror although nothing happened.
const auditPeriod = 10 * time.Minute

// audit repairs what a missed signal or somebody's edit of a status left behind. It compares all objects in memory and wakes those that
// differ, so that ten thousand objects at rest cause no reconciles.
type audit struct {
	*Reconciler
	wake *waker
}

// NeedLeaderElection lets it run in every replica; those that do not lead do nothing.
func (a *audit) NeedLeaderElection() bool { return false }

// Start runs the audit until ctx ends.
func (a *audit) Start(ctx context.Context) error {
	for {
		timer := a.mirror.clock.NewTimer(auditPeriod + rand.N(auditPeriod/5))
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-timer.C():
		}
		if a.leads() && a.mirror.Healthy() {
			a.wakeDifferent(ctx)
		}
	}
}

func (a *audit) wakeDifferent(ctx context.Context) {
	queue := a.wake.objectQueue()
	var locks v1alpha1.DistributedLockList
	if err := a.client.List(ctx, &locks, client.UnsafeDisableDeepCopyOption(true)); err != nil || queue == nil {
		return
	}
	for i := range locks.Items {
		lock := &locks.Items[i] // the cache's own: it is only read
		view := a.mirror.View(lock.LockID())
		if !view.State.Exists {
			a.mirror.Check(lock.LockID()) // whose answer wakes the object if it is news
		}
		c, err := a.claims.of(ctx, lock)
		if err != nil {
			return
		}
		if desired := desiredStatus(lock, view, c, a.clock.Now()); !equality.Semantic.DeepEqual(lock.Status, desired) {
			enqueue(queue, lock, rand.N(outageSpread))
		}
	}
}

var _ manager.LeaderElectionRunnable = (*audit)(nil)
