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
	// resync is about how often an object is looked at although nothing happened. It repairs what a missed signal or somebody's
	// edit of the status left behind, and costs nothing while all is well.
	resync = 10 * time.Minute
	// again is when to look again at an object that could not be judged.
	again = 2 * time.Second
)

// Reconciler mirrors locks into the status of DistributedLocks.
//
// Who writes. Every replica runs this reconciler, and only the leader writes what MongoDB has. An outage of the store is different:
// the leader is elected in MongoDB, so while that is gone there is no leader, and yet just then the objects must say that their
// status is not to be relied on. So any replica may set Ready=False for an outage that it sees itself. One replica alone may be
// cut off while the leader is not: its word would be put right by the leader and must not be repeated then, or the two would fight
// for as long as the replica is cut off. Therefore a replica says it once per object, reason and outage of its own. All writes carry
// the resourceVersion that they were computed from, so two replicas that say the same thing at the same time make one write.
//
// Errors of the store are states, never errors of a reconcile: they are not retried object by object.
type Reconciler struct {
	client          client.Client
	recorder        events.EventRecorder
	mirror          *Mirror
	clock           clock.PassiveClock
	elected         <-chan struct{} // closed while this replica leads
	allowForeignIDs bool
	memory          *memory
}

// +kubebuilder:rbac:groups=locks.mongolock.dev,resources=distributedlocks,verbs=get;list;watch
// +kubebuilder:rbac:groups=locks.mongolock.dev,resources=distributedlocks/status,verbs=patch
// +kubebuilder:rbac:groups=events.k8s.io,resources=events,verbs=create;patch

// Reconcile brings the status of one object up to date, with at most one write.
func (r *Reconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	var lock v1alpha1.DistributedLock
	if err := r.client.Get(ctx, req.NamespacedName, &lock); err != nil {
		if apierrors.IsNotFound(err) {
			r.mirror.Forget(r.memory.forget(req.NamespacedName))
		}
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	if !lock.DeletionTimestamp.IsZero() {
		return ctrl.Result{}, nil // nothing to clean up: the object never owned the lock
	}
	view := r.mirror.View(lock.LockID())
	r.memory.know(&lock)
	switch {
	case view.Health.Phase == Settling:
		return ctrl.Result{}, nil // the mirror wakes everybody when it has made up its mind
	case view.Health.Failed():
		if r.memory.said(&lock, view.Health) {
			return ctrl.Result{}, nil
		}
	case !r.leads():
		return ctrl.Result{}, nil // woken on being elected
	case !view.State.Exists:
		// Also when it is known to be absent: a foreign document may have come or gone since, and the feed does not tell of those.
		r.mirror.Check(lock.LockID())
		if view.Unknown {
			return ctrl.Result{RequeueAfter: again}, nil
		}
	}
	done, err := r.write(ctx, &lock, view)
	if err != nil || !done {
		return ctrl.Result{RequeueAfter: again}, err
	}
	if view.Health.Failed() {
		r.memory.say(&lock, view.Health)
	}
	return ctrl.Result{RequeueAfter: resync + rand.N(resync/5)}, nil
}

// write brings the status up to date and reports what happened. It is false if somebody else changed the object meanwhile, or the
// cache had not seen our own last write: then the comparison was with the past, and nothing was written.
func (r *Reconciler) write(ctx context.Context, lock *v1alpha1.DistributedLock, view View) (bool, error) {
	desired := desiredStatus(lock, view, r.allowForeignIDs, r.clock.Now())
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
	countWrite(before, lock)
	log.FromContext(ctx).V(1).Info("Status written", "lock", lock.LockID(), "state", lock.Status.State, "holder", lock.Status.Holder)
	r.report(before, lock, view)
	return true, nil
}

// leads tells whether this replica was elected. A replica that loses the election ends.
func (r *Reconciler) leads() bool {
	select {
	case <-r.elected:
		return true
	default:
		return false
	}
}

// readyReason is the reason of the condition Ready, or "".
func readyReason(lock *v1alpha1.DistributedLock) string {
	if c := meta.FindStatusCondition(lock.Status.Conditions, v1alpha1.ConditionReady); c != nil {
		return c.Reason
	}
	return ""
}
