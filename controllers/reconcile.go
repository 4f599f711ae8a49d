/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package controllers

import (
	"context"
	"errors"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/mongolock/operator/api/v1alpha1"
)

const (
	// again is when to look again at an object that could not be judged.
	again = 2 * time.Second
	// conflictAgain is when to write again after somebody else did, or when the cache had not seen our own last write.
	conflictAgain = 250 * time.Millisecond
	// foreignAgain is when to look again at a foreign document: the feed does not tell when it is moved away.
	foreignAgain = 30 * time.Second
	// settlePeriod is when to look again whether there is room for an event that sums up others.
	settlePeriod = 10 * time.Second
)

// Reconciler mirrors locks into the status of DistributedLocks. Which replica may write what is decided in authority.go.
//
// Errors of the store are states, never errors of a reconcile: they are not retried object by object.
type Reconciler struct {
	client   client.Client
	recorder events.EventRecorder
	mirror   *Mirror
	claims   *claims
	clock    clock.PassiveClock
	elected  <-chan struct{} // closed while this replica leads; nil if it never can
	// standbyDelay is how long an outage lasts before a replica speaks of it that does not lead.
	standbyDelay time.Duration
	memory       *memory
	budget       *eventBudget
}

// The right to patch the objects themselves is for the finalizer and the evict annotation.
// +kubebuilder:rbac:groups=locks.mongolock.dev,resources=distributedlocks,verbs=get;list;watch;patch
// +kubebuilder:rbac:groups=locks.mongolock.dev,resources=distributedlocks/status,verbs=patch
// +kubebuilder:rbac:groups=events.k8s.io,resources=events,verbs=create;patch

// Reconcile brings one object up to date: at most one write of its status, and in MongoDB what it asks for.
func (r *Reconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	var lock v1alpha1.DistributedLock
	if err := r.client.Get(ctx, req.NamespacedName, &lock); err != nil {
		if apierrors.IsNotFound(err) {
			r.forget(ctx, r.memory.forget(req.NamespacedName))
		}
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	view := r.mirror.View(lock.LockID())
	r.forget(ctx, r.memory.know(&lock))
	if !lock.DeletionTimestamp.IsZero() {
		return r.letGo(ctx, &lock, view.Health)
	}
	c, err := r.claims.of(ctx, &lock)
	if err != nil {
		return ctrl.Result{}, err
	}
	if wait, ok := r.mayWrite(&lock, view, c); !ok {
		return ctrl.Result{RequeueAfter: wait}, nil
	}
	if view.Health.Phase != Healthy {
		return retriedAfter(r.mirrorStatus(ctx, &lock, view, c))
	}
	return r.administer(ctx, &lock, view, c)
}

// administer does in MongoDB what the object asks for, and mirrors the lock.
func (r *Reconciler) administer(ctx context.Context, lock *v1alpha1.DistributedLock, view View, c claim) (ctrl.Result, error) {
	evicted, evictErr := r.evict(ctx, lock, view.State, c)
	policy, policyErr := policySettled, error(nil)
	if !view.Foreign {
		policy, policyErr = r.keepPolicy(ctx, lock, view.State, c)
	}
	if policy == policyAwaited {
		return retriedAfter(again, evictErr)
	}
	view.PolicyPending = policy == policyPending
	wait, err := r.mirrorStatus(ctx, lock, view, c)
	if !evicted {
		wait = again
	}
	return retriedAfter(wait, errors.Join(evictErr, policyErr, err))
}

// mirrorStatus writes the status if it has to change, and tells when to look again, 0 for not before something happens.
func (r *Reconciler) mirrorStatus(ctx context.Context, lock *v1alpha1.DistributedLock, view View, c claim) (time.Duration, error) {
	done, err := r.write(ctx, lock, view, c)
	switch {
	case err != nil:
		return 0, err
	case !done:
		return conflictAgain, nil
	case view.Health.Failed():
		r.memory.say(lock, view.Health, r.clock.Now())
		return 0, nil
	case view.Foreign:
		return foreignAgain, nil
	case view.PolicyPending:
		return max(policyPause-r.clock.Since(r.memory.policyWritten(lock).at), again), nil
	}
	return r.settle(lock), nil
}

// retried makes of a conflict, which says that somebody else was faster or the cache is late, another try.
func retried(err error) (ctrl.Result, error) { return retriedAfter(0, err) }

func retriedAfter(wait time.Duration, err error) (ctrl.Result, error) {
	switch {
	case apierrors.IsConflict(err):
		return ctrl.Result{RequeueAfter: conflictAgain}, nil
	case client.IgnoreNotFound(err) != nil:
		return ctrl.Result{}, err // the queue has a pace of its own for that
	}
	return ctrl.Result{RequeueAfter: wait}, nil
}

// forget drops all that is kept for an object that is gone, if it was known.
func (r *Reconciler) forget(ctx context.Context, gone *remembered) {
	if gone != nil {
		r.budget.forget(gone.uid)
		r.mirror.Forget(ctx, gone.lockID)
	}
}

// write brings the status up to date and reports what happened. It is false if somebody else changed the object meanwhile, or the
// cache had not seen our own last write: then the comparison was with the past, and nothing was written.
func (r *Reconciler) write(ctx context.Context, lock *v1alpha1.DistributedLock, view View, c claim) (bool, error) {
	if r.memory.isStale(lock, r.clock.Now()) {
		return false, nil // what it shows may be what is desired again, and our last write would stand
	}
	desired := desiredStatus(lock, view, c, r.clock.Now())
	if equality.Semantic.DeepEqual(lock.Status, desired) {
		return true, nil
	}
	before := lock.DeepCopy()
	lock.Status = desired
	patch := client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})
	if err := r.client.Status().Patch(ctx, lock, patch); err != nil {
		if apierrors.IsConflict(err) {
			return false, nil
		}
		return apierrors.IsNotFound(err), client.IgnoreNotFound(err)
	}
	r.memory.wrote(lock, r.clock.Now())
	countWrite(before, lock)
	log.FromContext(ctx).V(1).Info("Status written", "lock", lock.LockID(), "state", lock.Status.State, "holder", lock.Status.Holder)
	r.report(before, lock, view)
	return true, nil
}

// readyReason is the reason of the condition Ready, or "".
func readyReason(lock *v1alpha1.DistributedLock) string {
	if c := meta.FindStatusCondition(lock.Status.Conditions, v1alpha1.ConditionReady); c != nil {
		return c.Reason
	}
	return ""
}
