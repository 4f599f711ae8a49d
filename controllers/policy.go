/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package controllers

import (
	"context"
	"errors"
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
	// feedShows is how soon the feed tells of what was written, even if a message of its doorbell was lost.
	feedShows = 6 * time.Second
	// clearLimit is how long a deletion waits for MongoDB to take the policy out. With the time of the last try it stays below a minute.
	clearLimit = 40 * time.Second
	// clearPatience is how long it waits at least, when it seems to have waited for long by the clock of the API server.
	clearPatience = 10 * time.Second
)

// policyState is how an object's policy stands.
type policyState int

const (
	// policySettled means that MongoDB has what the object declares, or that it declares nothing.
	policySettled policyState = iota
	// policyAwaited means that it was just written, and that the feed will tell.
	policyAwaited
	// policyPending means that MongoDB has another one: it could not be written, or something else has set it since.
	policyPending
)

// policyWrite is the last write of an object's policy.
type policyWrite struct {
	policy mongolock.Policy
	at     time.Time
	ok     bool
}

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

// keepPolicy brings the lock's policy in MongoDB to what the object declares, if it has the claim to the lock, and takes it out when it
// declares none any more or has lost the claim. The finalizer is there before the policy is, so that no policy is left behind by an object
// that goes.
func (r *Reconciler) keepPolicy(ctx context.Context, lock *v1alpha1.DistributedLock, state mongolock.State, c claim) (policyState, error) {
	if !r.claims.allowed(lock) || r.claims.discovered(lock) {
		return policySettled, nil
	}
	if !c.granted() || !lock.Spec.DeclaresPolicy() {
		if !controllerutil.ContainsFinalizer(lock, v1alpha1.PolicyFinalizer) {
			return policySettled, nil // whoever set the policy, it is not ours
		}
		if !r.clearPolicy(ctx, lock, true) {
			return policyPending, nil
		}
		return policySettled, r.setFinalizer(ctx, lock, false)
	}
	if err := r.setFinalizer(ctx, lock, true); err != nil {
		return policyPending, err
	}
	declared := declaredPolicy(&lock.Spec)
	if samePolicy(state.Policy, declared) {
		return policySettled, nil
	}
	return r.writePolicy(ctx, lock, declared), nil
}

// writePolicy writes the policy, unless that was just done.
func (r *Reconciler) writePolicy(ctx context.Context, lock *v1alpha1.DistributedLock, declared mongolock.Policy) policyState {
	now := r.clock.Now()
	last := r.memory.policyWritten(lock)
	switch since := now.Sub(last.at); {
	case last.policy != declared:
	case last.ok && since < feedShows:
		return policyAwaited
	case since < policyPause:
		return policyPending
	}
	err := r.mirror.store.SetPolicy(ctx, lock.LockID(), declared)
	r.memory.wrotePolicy(lock, policyWrite{declared, now, err == nil})
	if err != nil {
		log.FromContext(ctx).Info("The policy could not be written", "lock", lock.LockID(), "reason", storeReason(err))
		return policyPending
	}
	r.emit(lock, "", corev1.EventTypeNormal, v1alpha1.EventPolicyApplied, "SetPolicy", "The lock has in MongoDB: "+describePolicy(declared))
	return policyAwaited
}

// clearPolicy takes the object's policy out of MongoDB, and tells whether it is not there any more. If another object has the claim now, and
// declares a policy too, the one replaces the other without a moment in between: a lock that both suspend is never granted. With patient set
// that object is waited for.
func (r *Reconciler) clearPolicy(ctx context.Context, lock *v1alpha1.DistributedLock, patient bool) bool {
	heir, err := r.claims.successor(ctx, lock)
	if err != nil {
		return false
	}
	if heir != nil && heir.Spec.DeclaresPolicy() && !r.claims.discovered(heir) {
		switch {
		case controllerutil.ContainsFinalizer(heir, v1alpha1.PolicyFinalizer):
			return true // it sees to its own policy
		case patient:
			return false
		}
	}
	err = r.mirror.store.SetPolicy(ctx, lock.LockID(), mongolock.Policy{})
	if err != nil && !errors.Is(err, mongolock.ErrForeignDocument) { // which has no policy
		log.FromContext(ctx).Info("The policy could not be cleared", "lock", lock.LockID(), "reason", storeReason(err))
		return false
	}
	r.memory.wrotePolicy(lock, policyWrite{})
	return true
}

// letGo lets an object that is being deleted go. If it declared a policy that is cleared first, by the leader; but while MongoDB is gone
// there is no leader, and nobody should have to wait for it for longer than a minute. Then any replica lets the object go.
// Nor is another object waited for longer that is to take over the policy.
func (r *Reconciler) letGo(ctx context.Context, lock *v1alpha1.DistributedLock, health Health) (ctrl.Result, error) {
	if !controllerutil.ContainsFinalizer(lock, v1alpha1.PolicyFinalizer) {
		return ctrl.Result{}, nil // nothing to clean up: the object never owned the lock
	}
	note := ""
	switch left := r.clearingLeft(lock); {
	case health.Phase == Healthy && !r.leads():
		return ctrl.Result{}, nil // left to the leader
	case !r.claims.allowed(lock) || r.claims.discovered(lock):
		note = "The object may not set the lock's policy, so none was cleared; if it could set one before, MongoDB keeps that"
	case health.Phase == Healthy && r.clearPolicy(ctx, lock, left > 0):
	case health.Phase == Failed && left > 0:
		return ctrl.Result{RequeueAfter: left}, nil // woken when it works again
	case health.Phase == Settling || left > 0:
		return ctrl.Result{RequeueAfter: again}, nil
	default:
		note = "MongoDB could not be reached in time, and may keep the lock's policy: make the object again and delete it to clear that"
	}
	if err := r.setFinalizer(ctx, lock, false); err != nil {
		return retried(err)
	}
	if note != "" {
		r.announce(ctx, lock, v1alpha1.EventPolicyNotCleared, "ClearPolicy", note)
	}
	return ctrl.Result{}, nil
}

// clearingLeft is for how long a deletion still waits for MongoDB. The clocks of this process and of the API server may differ: what
// counts is the time since the object was first seen, unless another process has waited before this one.
func (r *Reconciler) clearingLeft(lock *v1alpha1.DistributedLock) time.Duration {
	now := r.clock.Now()
	seen := now.Sub(r.memory.deletingSince(lock, now))
	if now.Sub(lock.DeletionTimestamp.Time) >= clearLimit {
		return clearPatience - seen
	}
	return clearLimit - seen
}

// setFinalizer puts the finalizer on the object, or takes it off, if that is to be done.
func (r *Reconciler) setFinalizer(ctx context.Context, lock *v1alpha1.DistributedLock, want bool) error {
	if controllerutil.ContainsFinalizer(lock, v1alpha1.PolicyFinalizer) == want {
		return nil
	}
	before := lock.DeepCopy()
	if want {
		controllerutil.AddFinalizer(lock, v1alpha1.PolicyFinalizer)
	} else {
		controllerutil.RemoveFinalizer(lock, v1alpha1.PolicyFinalizer)
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
