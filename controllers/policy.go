/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package controllers

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/mongolock/operator/api/v1alpha1"
	"github.com/mongolock/operator/pkg/mongolock"
)

const (
	// policyPause is the least time between two writes of one lock's policy: should something else set it again and again, the two
	// do not fight at full speed.
	policyPause = 10 * time.Second
	// clearLimit is how long a deletion waits for MongoDB to take the policy out. With the time of the last try it stays below a minute.
	clearLimit = 40 * time.Second
)

// policyState is how an object's policy stands.
type policyState int

const (
	// policySettled means that MongoDB has what the object declares, or that it declares nothing.
	policySettled policyState = iota
	// policyAwaited means that it was just written, and that the feed will tell.
	policyAwaited
	// policyPending means that MongoDB has another one, although it was told.
	policyPending
)

// declaredPolicy is the policy that a spec declares.
func declaredPolicy(spec *v1alpha1.DistributedLockSpec) mongolock.Policy {
	p := mongolock.Policy{Capacity: 1}
	if spec.Capacity != nil {
		p.Capacity = int(*spec.Capacity)
	}
	if spec.Suspend != nil {
		p.Suspended = *spec.Suspend
	}
	if d := spec.MaxLeaseDuration; d != nil && d.Duration != mongolock.MaxLease {
		p.MaxLease = d.Duration
	}
	return p
}

// samePolicy compares what binds clients. Whether an unused document is kept is a consequence of that.
func samePolicy(a, b mongolock.Policy) bool {
	return max(a.Capacity, 1) == max(b.Capacity, 1) && a.Suspended == b.Suspended && a.MaxLease == b.MaxLease
}

// keepPolicy brings the lock's policy in MongoDB to what the object declares. The finalizer is there before the policy is, so that no
// policy is left behind by an object that goes.
func (r *Reconciler) keepPolicy(ctx context.Context, lock *v1alpha1.DistributedLock, state mongolock.State) (policyState, error) {
	if !lock.Spec.DeclaresPolicy() {
		if !controllerutil.ContainsFinalizer(lock, v1alpha1.PolicyFinalizer) {
			return policySettled, nil // whoever set the policy, it is not ours
		}
		if !r.clearPolicy(ctx, lock) {
			return policyPending, nil
		}
		return policySettled, r.setFinalizer(ctx, lock, false)
	}
	if err := r.setFinalizer(ctx, lock, true); err != nil {
		return policySettled, err
	}
	declared := declaredPolicy(&lock.Spec)
	if samePolicy(state.Policy, declared) {
		return policySettled, nil
	}
	if !r.memory.mayWritePolicy(lock, declared, r.clock.Now()) {
		return policyPending, nil
	}
	if err := r.mirror.store.SetPolicy(ctx, lock.LockID(), declared); err != nil {
		log.FromContext(ctx).Info("The policy could not be written", "lock", lock.LockID(), "reason", storeReason(err))
		return policyPending, nil
	}
	r.emit(lock, "", corev1.EventTypeNormal, v1alpha1.EventPolicyApplied, "SetPolicy", "The lock has in MongoDB: "+describePolicy(declared))
	return policyAwaited, nil
}

// clearPolicy takes the object's policy out of MongoDB, and tells whether it is not there any more. If another object of the lock declares
// one, that is left to it.
func (r *Reconciler) clearPolicy(ctx context.Context, lock *v1alpha1.DistributedLock) bool {
	others, err := r.claims.sharing(ctx, lock.LockID())
	if err != nil {
		return false
	}
	for i := range others {
		other := &others[i]
		if other.UID != lock.UID && other.DeletionTimestamp.IsZero() && other.Spec.DeclaresPolicy() && r.claims.allowed(other) {
			return true
		}
	}
	if err := r.mirror.store.SetPolicy(ctx, lock.LockID(), mongolock.Policy{}); err != nil {
		log.FromContext(ctx).Info("The policy could not be cleared", "lock", lock.LockID(), "reason", storeReason(err))
		return false
	}
	return true
}

// letGo lets an object that is being deleted go. If it declared a policy that is cleared first, by the leader; but while MongoDB is gone
// there is no leader, and nobody should have to wait for it for longer than a minute. Then any replica lets the object go.
func (r *Reconciler) letGo(ctx context.Context, lock *v1alpha1.DistributedLock, health Health) (ctrl.Result, error) {
	if !controllerutil.ContainsFinalizer(lock, v1alpha1.PolicyFinalizer) {
		return ctrl.Result{}, nil // nothing to clean up: the object never owned the lock
	}
	note := ""
	switch left := clearLimit - r.clock.Since(lock.DeletionTimestamp.Time); {
	case !r.claims.allowed(lock):
		note = "The operator may not touch the lock of an id outside the object's namespace; if it ever set a policy, MongoDB keeps it"
	case health.Phase == Healthy && !r.leads():
		return ctrl.Result{}, nil // left to the leader
	case health.Phase == Healthy && r.clearPolicy(ctx, lock):
	case left > 0:
		return ctrl.Result{RequeueAfter: min(left, again)}, nil
	case health.Phase == Settling:
		return ctrl.Result{RequeueAfter: again}, nil // it is about to become one of the others
	default:
		note = "MongoDB could not be reached in time, and keeps the lock's policy: make the object again and delete it to clear that"
	}
	if err := r.setFinalizer(ctx, lock, false); err != nil {
		return retried(client.IgnoreNotFound(err))
	}
	if note != "" {
		r.emit(lock, "", corev1.EventTypeWarning, v1alpha1.EventPolicyNotCleared, "ClearPolicy", note)
	}
	return ctrl.Result{}, nil
}

// setFinalizer puts the finalizer on the object, or takes it off, if that is to be done.
func (r *Reconciler) setFinalizer(ctx context.Context, lock *v1alpha1.DistributedLock, want bool) error {
	before := lock.DeepCopy()
	change := controllerutil.RemoveFinalizer
	if want {
		change = controllerutil.AddFinalizer
	}
	if !change(lock, v1alpha1.PolicyFinalizer) {
		return nil
	}
	return r.client.Patch(ctx, lock, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{}))
}

// describePolicy puts a policy into words.
func describePolicy(p mongolock.Policy) string {
	text := fmt.Sprintf("capacity %d", max(p.Capacity, 1))
	if p.MaxLease > 0 {
		text += fmt.Sprintf(", leases of at most %s", p.MaxLease)
	}
	if p.Suspended {
		return text + ", suspended: nobody new is granted the lock"
	}
	return text + ", not suspended"
}
