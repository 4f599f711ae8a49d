/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package controllers

import (
	"math/rand/v2"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"

	"github.com/mongolock/operator/api/v1alpha1"
	"github.com/mongolock/operator/pkg/mongolock"
)

// Who writes a status. Every replica runs the reconciler, and only the leader writes what MongoDB has. An outage of the store is different:
// the leader is elected in MongoDB, so while that is gone there is no leader, and yet just then the objects must say that their status is
// not to be relied on. So any replica may set Ready=False for an outage that it sees itself:
//
//	this replica   the store as it sees it   it writes
//	leads          works                     what MongoDB has
//	leads          failed                    Ready=False
//	stands by      works                     nothing
//	stands by      failed                    Ready=False, when nobody else can still lead
//	either         not known yet             nothing
//
// One replica alone may be cut off while the leader is not. The leader puts its word right, and the two must not fight for as long as the
// one is cut off. Therefore a replica says it once per object, generation, reason and outage of its own; a reason that comes back may be
// said again, but only in place of this replica's own last word. And one that stands by waits until the lease of any leader must have
// ended: counted from when its own outage began, and again from whenever it sees that somebody does show a lock. All writes carry the
// resourceVersion that they were computed from, so two replicas that say the same thing at the same time make one write.

const (
	// behindLimit is how long a picture older than the status is taken for a late one. After that the status must be wrong: the
	// database was restored from a backup, or somebody edited the status.
	behindLimit = 30 * time.Second
	// repeatPause is the least time between two changes of what one replica says of one outage.
	repeatPause = time.Minute
)

// leads tells whether this replica was elected. A replica that loses the election ends.
func (r *Reconciler) leads() bool {
	select {
	case <-r.elected:
		return true
	default:
		return false
	}
}

// mayWrite tells whether this replica may write the status from this view; if not, wait is when to look again, or 0 if something else
// will cause the look. It has the mirror look up a lock that is not there.
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
	now := r.clock.Now()
	if r.memory.said(lock, h) {
		at, may := r.memory.mayRepeat(lock, h)
		if wait = at.Sub(now); !may || wait > 0 {
			return max(wait, 0), false
		}
	}
	if r.leads() {
		return 0, true
	}
	if !c.granted() {
		return 0, false // that has to be said by the leader
	}
	since := r.memory.leaderHeard()
	// There is no word to contradict on an object of which nobody has said anything.
	if readyReason(lock) != "" && h.Since.After(since) {
		since = h.Since
	}
	if wait = since.Add(r.standbyDelay).Sub(now); wait > 0 {
		return wait + rand.N(outageSpread), false
	}
	return 0, true
}

// overhear takes notice of a status that was written by somebody who sees the lock: a leader.
func (r *Reconciler) overhear(before, after *v1alpha1.DistributedLock) {
	if !r.leads() && showsLock(readyReason(after)) && !equality.Semantic.DeepEqual(before.Status, after.Status) {
		r.memory.heardLeader(r.clock.Now())
	}
}

// isBehind tells whether a picture is older than what the status shows: a replica that has just been elected may be late. A lock whose
// document was made anew has a larger token, or none yet.
func isBehind(state mongolock.State, s *v1alpha1.DistributedLockStatus) bool {
	switch {
	case state.Seq == 0:
		return s.LastTransitionTime != nil && state.ChangedAt.Before(s.LastTransitionTime.Time)
	case state.Token != s.FencingToken:
		return state.Token < s.FencingToken
	}
	return len(s.Events) > 0 && state.Seq < s.Events[len(s.Events)-1].Seq
}
