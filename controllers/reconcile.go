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
	"github.com/mongolock/operator/pkg/mongolock"
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
	// behindLimit is how long a picture older than the status is taken for a late one. After that the status must be wrong: the
	// database was restored from a backup, or somebody edited the status.
	behindLimit = 30 * time.Second
	// repeatPause is the least time between two changes of what one replica says of one outage.
	repeatPause = time.Minute
)

// Reconciler mirrors locks into the status of DistributedLocks.
//
// Who writes. Every replica runs this reconciler, and only the leader writes what MongoDB has. An outage of the store is different:
// the leader is elected in MongoDB, so while that is gone there is no leader, and yet just then the objects must say that their
// status is not to be relied on. So any replica may set Ready=False for an outage that it sees itself. One replica alone may be
// cut off while the leader is not: its word would be put right by the leader and must not be repeated then, or the two would fight
// for as long as the replica is cut off. Therefore a replica says it once per object, reason and outage of its own; a reason that
// comes back may be said again, but only in place of this replica's own last word. And one that does not lead waits until nobody else
// can still lead, so that a bad link of its own touches no object. All writes carry the resourceVersion that they were computed from,
// so two replicas that say the same thing at the same time make one write.
//
// Errors of the store are states, never errors of a reconcile: they are not retried object by object.
type Reconciler struct {
	client   client.Client
	recorder events.EventRecorder
	mirror   *Mirror
	claims   *claims
	clock    clock.PassiveClock
	elected  <-chan struct{} // closed while this replica leads
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

// mayWrite tells whether this replica may write the status from this view; if not, wait is when to look again, or 0 if something else
// will cause the look.
func (r *Reconciler) mayWrite(lock *v1alpha1.DistributedLock, view View, c claim) (wait time.Duration, ok bool) {
	switch {
	case view.Health.Phase == Settling:
		return 0, false // the mirror wakes everybody when it has made up its mind
	case view.Health.Failed():
		return r.maySay(lock, view.Health, c)
	case !r.leads():
		return 0, false // woken on being elected
	case !c.granted():
		return 0, true // whatever the lock is
	case !view.State.Exists:
		// Also when it is known to be absent: a foreign document may have come or gone since, and the feed does not tell of those.
		r.mirror.Check(lock.LockID())
		return again, !view.Unknown
	}
	now := r.clock.Now()
	behind := isBehind(view.State, &lock.Status)
	if since := r.memory.behindSince(lock, behind, now); behind && now.Sub(since) < behindLimit {
		return again, false
	}
	return 0, true
}

// maySay tells whether this replica may speak of the outage.
func (r *Reconciler) maySay(lock *v1alpha1.DistributedLock, h Health, c claim) (wait time.Duration, ok bool) {
	if !r.leads() {
		if !c.granted() {
			return 0, false // that has to be said by the leader
		}
		// There is no word to contradict on an object of which nobody has said anything.
		if left := r.standbyDelay - r.clock.Since(h.Since); left > 0 && readyReason(lock) != "" {
			return left + rand.N(outageSpread), false
		}
	}
	if !r.memory.said(lock, h) {
		return 0, true
	}
	at, ok := r.memory.mayRepeat(lock, h)
	if !ok {
		return 0, false
	}
	left := at.Sub(r.clock.Now())
	return max(left, 0), left <= 0
}

// isBehind tells whether a picture is older than what the status shows: a replica that has just been elected may be late. A lock whose
// document was made anew has a larger token.
func isBehind(state mongolock.State, s *v1alpha1.DistributedLockStatus) bool {
	if state.Token != s.FencingToken {
		return state.Token < s.FencingToken
	}
	return len(s.Events) > 0 && state.Seq < s.Events[len(s.Events)-1].Seq
}

// write brings the status up to date and reports what happened. It is false if somebody else changed the object meanwhile, or the
// cache had not seen our own last write: then the comparison was with the past, and nothing was written.
func (r *Reconciler) write(ctx context.Context, lock *v1alpha1.DistributedLock, view View, c claim) (bool, error) {
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
