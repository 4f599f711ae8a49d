/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package controllers

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/mongolock/operator/api/v1alpha1"
	"github.com/mongolock/operator/pkg/mongolock"
)

// maxNote is the longest note, in bytes, that the API server takes.
const maxNote = 1024

// report emits the Kubernetes events of one status write, after it succeeded. They are derived from the difference between the status
// before and what was mirrored, so a restart, which finds no difference, repeats none. They are best effort: those of a write are lost
// if its answer is lost, or if the process ends before they are sent, and some are left out when there are too many. The status has
// the last ten transitions in any case.
func (r *Reconciler) report(before, after *v1alpha1.DistributedLock, view View) {
	was, is := readyReason(before), readyReason(after)
	switch {
	case isStoreReason(is) && was != is:
		r.emit(after, "", corev1.EventTypeWarning, is, "Mirror", storeMessages[is])
	case isStoreReason(was) && showsLock(is):
		r.emit(after, "", corev1.EventTypeNormal, v1alpha1.EventStoreRecovered, "Mirror", "The status shows the lock as MongoDB has it again.")
	}
	if !showsLock(is) {
		return
	}
	for _, e := range unseen(before, view.State) {
		r.reportTransition(after, e)
	}
}

func (r *Reconciler) reportTransition(lock *v1alpha1.DistributedLock, e mongolock.Event) {
	part := fmt.Sprintf("status.events{%d}", e.Seq)
	switch e.Type {
	case mongolock.EventAcquired:
		r.emit(lock, part, corev1.EventTypeNormal, v1alpha1.EventLockAcquired, "Acquire",
			fmt.Sprintf("%q acquired the lock with token %d", e.Owner, e.Token))
	case mongolock.EventReleased:
		r.emit(lock, part, corev1.EventTypeNormal, v1alpha1.EventLockReleased, "Release",
			fmt.Sprintf("%q released the lock with token %d", e.Owner, e.Token))
	case mongolock.EventExpired:
		r.emit(lock, part, corev1.EventTypeWarning, v1alpha1.EventLockExpired, "Expire",
			fmt.Sprintf("The lease of %q with token %d ended without a release", e.Owner, e.Token))
	case mongolock.EventEvicted:
		r.emit(lock, part, corev1.EventTypeWarning, v1alpha1.EventLockEvicted, "Evict",
			fmt.Sprintf("The lock was taken away from %q with token %d: %s", e.Owner, e.Token, e.Reason))
	}
}

// emit records an event, if the budget has room for it, and before it how many transitions were left out.
func (r *Reconciler) emit(lock *v1alpha1.DistributedLock, part, kind, reason, action, note string) {
	skipped, ok := r.budget.take(lock.UID, part != "")
	if !ok {
		return
	}
	if skipped > 0 {
		r.recordSkipped(lock, skipped)
	}
	r.record(lock, part, kind, reason, action, note)
}

// showsLock tells whether a status with this reason of the condition Ready shows the lock as MongoDB has it.
func showsLock(reason string) bool {
	return reason == v1alpha1.ReasonMirrored || reason == v1alpha1.ReasonPolicyNotApplied
}

// announce records a Warning about what somebody asked for, and logs it: that is rare, and must not be left out because the lock is busy.
func (r *Reconciler) announce(ctx context.Context, lock *v1alpha1.DistributedLock, reason, action, note string) {
	log.FromContext(ctx).Info(note, "lock", lock.LockID(), "event", reason)
	r.record(lock, "", corev1.EventTypeWarning, reason, action, note)
}

// settle sums up the transitions that were left out, if the lock is calm again. It returns when that has to be tried again, or 0.
func (r *Reconciler) settle(lock *v1alpha1.DistributedLock) time.Duration {
	skipped, again := r.budget.settle(lock.UID)
	if skipped > 0 {
		r.recordSkipped(lock, skipped)
	}
	if again {
		return settlePeriod
	}
	return 0
}

func (r *Reconciler) recordSkipped(lock *v1alpha1.DistributedLock, n int) {
	r.record(lock, "", corev1.EventTypeNormal, v1alpha1.EventMoreTransitions, "Mirror", fmt.Sprintf("%d more transitions; see status.events", n))
}

// record hands an event about lock, and the part of it that the event concerns, if any, to the client library.
//
// The client library counts events that differ in their note only as one series, and shows the first note for all: the name of a
// second holder would be lost. What tells events apart is the objects that they name. So the event names the version of the object
// that was written, and as the related object its own entry of status.events. (As the path in the object itself, kubectl describe
// would print it before the note.)
func (r *Reconciler) record(lock *v1alpha1.DistributedLock, part, kind, reason, action, note string) {
	regarding := &corev1.ObjectReference{
		APIVersion:      v1alpha1.GroupVersion.String(),
		Kind:            "DistributedLock",
		Namespace:       lock.Namespace,
		Name:            lock.Name,
		UID:             lock.UID,
		ResourceVersion: lock.ResourceVersion,
	}
	var related runtime.Object
	if part != "" {
		entry := regarding.DeepCopy()
		entry.FieldPath = part
		related = entry
	}
	if len(note) > maxNote {
		note = strings.ToValidUTF8(note[:maxNote], "")
	}
	r.recorder.Eventf(regarding, related, kind, reason, action, "%s", note)
}

// unseen returns the lock's events since the last one in the status of before. If that one is not in the ring, all are: more came
// than the ring holds, or MongoDB had purged the lock and its numbers began again. On the first look the past is not news, except
// for what happened since the object was made; nor is it after a time in which the object was stalled and the status forgot the lock.
func unseen(before *v1alpha1.DistributedLock, state mongolock.State) []mongolock.Event {
	if before.Status.State == "" {
		made := before.CreationTimestamp.Time
		if c := meta.FindStatusCondition(before.Status.Conditions, v1alpha1.ConditionStalled); c != nil && c.LastTransitionTime.After(made) {
			made = c.LastTransitionTime.Time
		}
		i := slices.IndexFunc(state.Events, func(e mongolock.Event) bool { return !e.At.Before(made) })
		if i < 0 {
			return nil
		}
		return state.Events[i:]
	}
	if len(before.Status.Events) == 0 {
		return state.Events
	}
	last := before.Status.Events[len(before.Status.Events)-1]
	i := slices.IndexFunc(state.Events, func(e mongolock.Event) bool {
		return e.Seq == last.Seq && e.Token == last.Token && lockEventType(e.Type) == last.Type
	})
	return state.Events[i+1:]
}
