/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package controllers

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/mongolock/operator/api/v1alpha1"
	"github.com/mongolock/operator/pkg/mongolock"
)

// The longest owner and id that a status takes, in characters. The engine accepts no longer ones; a document edited by
// hand must not make the API server refuse the whole status.
const (
	maxOwner = 256
	maxID    = 512
)

// policyPendingMessage is what objects say whose policy is not in MongoDB.
const policyPendingMessage = "MongoDB has another policy for the lock than this object asks for: the operator could not write it, or something " +
	"else has set it since. It is written again every ten seconds. The rest of this status shows the lock as MongoDB has it. See the operator's log."

// desiredStatus computes what the status of lock should be, from the status it has and from what the mirror sees. It is pure: equal
// arguments give equal results, and when nothing changed it returns the status that lock already has, whatever now is.
func desiredStatus(lock *v1alpha1.DistributedLock, view View, claimed claim, now time.Time) v1alpha1.DistributedLockStatus {
	old := &lock.Status
	s := old.DeepCopy()
	s.ObservedGeneration = lock.Generation
	s.ID = bounded(lock.LockID(), maxID)
	c := conditions{list: &s.Conditions, generation: lock.Generation, now: now}
	switch {
	case !claimed.granted():
		forgetLock(s)
		c.stalled(claimed.reason, claimed.message)
	case view.Health.Failed():
		c.notReady(view.Health.Reason)
	case view.Foreign:
		forgetLock(s)
		c.stalled(v1alpha1.ReasonForeignDocument, "The document stored under this id was not written by mongolock and is left untouched: "+
			"move it away, or use another id or collection.")
	default:
		showLock(s, view.State)
		c.ready(view)
		c.held(s, view.State)
		meta.RemoveStatusCondition(c.list, v1alpha1.ConditionStalled)
	}
	if s.State == "" {
		c.set(v1alpha1.ConditionHeld, metav1.ConditionUnknown, v1alpha1.ReasonNotMirrored, "The lock could not be looked at yet.", now)
	}
	return *s
}

// showLock copies what MongoDB has. When the document is gone nobody holds the lock, but what is known of its past is kept.
func showLock(s *v1alpha1.DistributedLockStatus, state mongolock.State) {
	holders := slices.Clone(state.Holders)
	slices.SortFunc(holders, func(a, b mongolock.Holder) int { return cmp.Compare(a.Token, b.Token) })
	s.State, s.Holder, s.Holders = v1alpha1.StateFree, "", nil
	s.HolderCount = int32(len(holders))       //nolint:gosec // no more than fit into a document
	s.WaiterCount = int32(len(state.Waiters)) //nolint:gosec // at most mongolock.MaxWaiters
	showPolicy(s, state)
	for _, h := range holders[:min(len(holders), v1alpha1.MaxHolders)] {
		s.State = v1alpha1.StateHeld
		s.Holders = append(s.Holders, v1alpha1.LockHolder{
			Owner:         bounded(h.Owner, maxOwner),
			Token:         h.Token,
			AcquiredAt:    metav1.NewMicroTime(h.AcquiredAt),
			LeaseDuration: metav1.Duration{Duration: h.Lease},
		})
	}
	if len(s.Holders) > 0 {
		s.Holder = s.Holders[0].Owner
	}
	if !state.Exists || state.Seq == 0 {
		return
	}
	s.FencingToken, s.Transitions = state.Token, state.Grants
	changed := metav1.NewMicroTime(lastTransition(state))
	s.LastTransitionTime = &changed
	s.Events = nil
	for _, e := range state.Events[max(0, len(state.Events)-v1alpha1.MaxEvents):] {
		s.Events = append(s.Events, v1alpha1.LockEvent{
			Seq: e.Seq, Type: lockEventType(e.Type), Owner: bounded(e.Owner, maxOwner), Token: e.Token, At: metav1.NewMicroTime(e.At),
		})
	}
}

// showPolicy copies the policy that MongoDB has, whoever set it.
func showPolicy(s *v1alpha1.DistributedLockStatus, state mongolock.State) {
	s.Capacity, s.Suspended, s.MaxLeaseDuration = 0, false, nil
	if !state.Exists {
		return
	}
	s.Capacity, s.Suspended = int32(max(state.Policy.Capacity, 1)), state.Policy.Suspended //nolint:gosec // at most 1000
	if state.Policy.MaxLease > 0 {
		s.MaxLeaseDuration = &metav1.Duration{Duration: state.Policy.MaxLease}
	}
}

// lastTransition is when the holders last changed. State.ChangedAt may be later: it also tells of the queue and the policy.
func lastTransition(state mongolock.State) time.Time {
	if n := len(state.Events); n > 0 {
		return state.Events[n-1].At
	}
	return state.ChangedAt
}

// forgetLock takes everything about the lock out of the status: it was or has become something that this object must not show.
func forgetLock(s *v1alpha1.DistributedLockStatus) {
	*s = v1alpha1.DistributedLockStatus{ObservedGeneration: s.ObservedGeneration, ID: s.ID, Conditions: s.Conditions}
}

// conditions sets the conditions of one status.
type conditions struct {
	list       *[]metav1.Condition
	generation int64
	now        time.Time
}

// set sets a condition; at is its transition time if its status changes.
func (c conditions) set(kind string, status metav1.ConditionStatus, reason, message string, at time.Time) {
	meta.SetStatusCondition(c.list, metav1.Condition{
		Type: kind, Status: status, Reason: reason, Message: message, ObservedGeneration: c.generation,
		LastTransitionTime: metav1.NewTime(at.Truncate(time.Second)),
	})
}

// ready says that the status shows the lock, and whether the lock has the policy that the object declares.
func (c conditions) ready(view View) {
	if view.PolicyPending {
		c.set(v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonPolicyNotApplied, policyPendingMessage, c.now)
		return
	}
	c.set(v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonMirrored, "The status shows the lock as MongoDB has it.", c.now)
}

// notReady says that the store does not work, in the fixed words of the reason. The rest of the status stays as last known.
func (c conditions) notReady(reason string) {
	c.set(v1alpha1.ConditionReady, metav1.ConditionFalse, reason, storeMessages[reason], c.now)
	meta.RemoveStatusCondition(c.list, v1alpha1.ConditionStalled)
}

// stalled says that the object waits for people.
func (c conditions) stalled(reason, message string) {
	c.set(v1alpha1.ConditionReady, metav1.ConditionFalse, reason, message, c.now)
	c.set(v1alpha1.ConditionStalled, metav1.ConditionTrue, reason, message, c.now)
}

// held derives the condition Held from the status that showLock has filled in. Its transition time is the lock's own.
func (c conditions) held(s *v1alpha1.DistributedLockStatus, state mongolock.State) {
	at := c.now
	if state.Exists && s.LastTransitionTime != nil {
		at = s.LastTransitionTime.Time
	}
	if s.State == v1alpha1.StateHeld {
		h := s.Holders[0]
		message := fmt.Sprintf("%q holds the lock with token %d.", h.Owner, h.Token)
		if s.HolderCount > 1 {
			message = fmt.Sprintf("%q with token %d and %d more hold the lock.", h.Owner, h.Token, s.HolderCount-1)
		}
		c.set(v1alpha1.ConditionHeld, metav1.ConditionTrue, v1alpha1.ReasonAcquired, message, at)
		return
	}
	reason, message := freeBecause(s, state)
	c.set(v1alpha1.ConditionHeld, metav1.ConditionFalse, reason, message, at)
}

// freeBecause tells why nobody holds the lock.
func freeBecause(s *v1alpha1.DistributedLockStatus, state mongolock.State) (reason, message string) {
	if len(s.Events) == 0 {
		return v1alpha1.ReasonNeverAcquired, "MongoDB has no record of this lock: it was never acquired, or not for so long that it was purged."
	}
	last := s.Events[len(s.Events)-1]
	switch {
	case last.Type == v1alpha1.LockEventReleased:
		return v1alpha1.ReasonReleased, fmt.Sprintf("%q released the lock.", last.Owner)
	case last.Type == v1alpha1.LockEventEvicted:
		return v1alpha1.ReasonEvicted, fmt.Sprintf("The lock was taken away from %q.", last.Owner)
	case last.Type == v1alpha1.LockEventAcquired && !state.Exists:
		return v1alpha1.ReasonRemoved, fmt.Sprintf("The lock's document was removed from MongoDB while %q held the lock.", last.Owner)
	default:
		// Also an acquisition without a holder: its lease has ended and the sweep has yet to record that.
		return v1alpha1.ReasonExpired, fmt.Sprintf("The lease of %q ended without a release.", last.Owner)
	}
}

// lockEventType translates the engine's event types; one that is not known yet is shown as it is.
func lockEventType(t mongolock.EventType) v1alpha1.LockEventType {
	switch t {
	case mongolock.EventAcquired:
		return v1alpha1.LockEventAcquired
	case mongolock.EventReleased:
		return v1alpha1.LockEventReleased
	case mongolock.EventExpired:
		return v1alpha1.LockEventExpired
	case mongolock.EventEvicted:
		return v1alpha1.LockEventEvicted
	}
	return v1alpha1.LockEventType(bounded(string(t), 32))
}

// bounded makes s a string that the API server takes and returns unchanged: valid UTF-8 of at most n characters.
func bounded(s string, n int) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	if len(s) <= n {
		return s
	}
	runes := []rune(s)
	return string(runes[:min(n, len(runes))])
}
