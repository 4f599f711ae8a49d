/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package controllers

import (
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/mongolock/operator/api/v1alpha1"
)

// staleLimit is how long the cache is waited for to show a write of our own.
const staleLimit = 30 * time.Second

// memory is what the reconciler remembers of the objects that exist.
type memory struct {
	mu      sync.Mutex
	objects map[types.NamespacedName]*remembered
	// heard is when another replica was last seen to lead.
	heard time.Time
}

func newMemory() *memory {
	return &memory{objects: map[types.NamespacedName]*remembered{}}
}

type remembered struct {
	uid    types.UID
	lockID string
	// written is the version of the object that our last write of its status made, at writtenAt; empty if there was none.
	written   string
	writtenAt time.Time
	// outage and reasons are what was said of an outage, for this generation of the spec; last is what was said last, at saidAt.
	outage     int
	generation int64
	reasons    map[string]bool
	last       string
	saidAt     time.Time
	// behind is since when the mirror's picture has been older than the status; zero if it is not.
	behind time.Time
	// policy is the last write of its policy to MongoDB.
	policy policyWrite
	// eviction is the last one for its annotation that was or may have been carried out.
	eviction eviction
	// deleting is since when the object is known to be on its way out; zero if it is not.
	deleting time.Time
}

// know remembers that an object exists. One that was replaced by another of the same name is new; the one before it is returned.
func (m *memory) know(lock *v1alpha1.DistributedLock) (replaced *remembered) {
	m.mu.Lock()
	defer m.mu.Unlock()
	key := client.ObjectKeyFromObject(lock)
	o := m.objects[key]
	if o != nil && o.uid == lock.UID {
		return nil
	}
	m.objects[key] = &remembered{uid: lock.UID, lockID: lock.LockID()}
	return o
}

// forget drops an object and returns it, or nil.
func (m *memory) forget(key types.NamespacedName) *remembered {
	m.mu.Lock()
	defer m.mu.Unlock()
	o := m.objects[key]
	delete(m.objects, key)
	return o
}

// wrote remembers that the status was written.
func (m *memory) wrote(lock *v1alpha1.DistributedLock, now time.Time) {
	m.use(lock, func(o *remembered) { o.written, o.writtenAt = lock.ResourceVersion, now })
}

// isStale tells whether the object is from before our last write of its status: the cache has not seen that yet. That it will not see it any
// more, because the API server's database was restored from a backup, is believed after a while.
func (m *memory) isStale(lock *v1alpha1.DistributedLock, now time.Time) (stale bool) {
	m.use(lock, func(o *remembered) {
		if o.written != "" && now.Sub(o.writtenAt) < staleLimit {
			order, err := resourceversion.CompareResourceVersion(lock.ResourceVersion, o.written)
			stale = err == nil && order < 0
		}
	})
	return stale
}

// heardLeader remembers that another replica was seen to lead.
func (m *memory) heardLeader(now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.heard = now
}

// leaderHeard is when another replica was last seen to lead.
func (m *memory) leaderHeard() time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.heard
}

// said tells whether the object was told of this outage for this reason.
func (m *memory) said(lock *v1alpha1.DistributedLock, h Health) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	o := m.objects[client.ObjectKeyFromObject(lock)]
	return o != nil && o.uid == lock.UID && o.outage == h.Outage && o.generation == lock.Generation && o.reasons[h.Reason]
}

// mayRepeat tells when a reason may be said again in the same outage: while the object still shows another one that this replica
// itself said last, nobody contradicts, and the outage has gone back from that to this one.
func (m *memory) mayRepeat(lock *v1alpha1.DistributedLock, h Health) (at time.Time, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	o := m.objects[client.ObjectKeyFromObject(lock)]
	if o == nil || o.last == h.Reason || o.last != readyReason(lock) {
		return time.Time{}, false
	}
	return o.saidAt.Add(repeatPause), true
}

// say remembers that the object was told.
func (m *memory) say(lock *v1alpha1.DistributedLock, h Health, now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	o := m.objects[client.ObjectKeyFromObject(lock)]
	if o == nil || o.uid != lock.UID {
		return
	}
	if o.outage != h.Outage || o.generation != lock.Generation {
		o.outage, o.generation, o.reasons = h.Outage, lock.Generation, map[string]bool{}
	}
	o.reasons[h.Reason] = true
	o.last, o.saidAt = h.Reason, now
}

// behindSince remembers whether the mirror's picture of an object's lock is older than its status, and returns since when.
func (m *memory) behindSince(lock *v1alpha1.DistributedLock, behind bool, now time.Time) time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	o := m.objects[client.ObjectKeyFromObject(lock)]
	switch {
	case o == nil:
		return now
	case !behind:
		o.behind = time.Time{}
	case o.behind.IsZero():
		o.behind = now
	}
	return o.behind
}

// policyWritten returns the last write of the object's policy.
func (m *memory) policyWritten(lock *v1alpha1.DistributedLock) (last policyWrite) {
	m.use(lock, func(o *remembered) { last = o.policy })
	return last
}

// wrotePolicy remembers a write of the object's policy.
func (m *memory) wrotePolicy(lock *v1alpha1.DistributedLock, w policyWrite) {
	m.use(lock, func(o *remembered) { o.policy = w })
}

// lastEviction returns the last eviction for the object.
func (m *memory) lastEviction(lock *v1alpha1.DistributedLock) (last eviction) {
	m.use(lock, func(o *remembered) { last = o.eviction })
	return last
}

// evicted remembers an eviction.
func (m *memory) evicted(lock *v1alpha1.DistributedLock, e eviction) {
	m.use(lock, func(o *remembered) { o.eviction = e })
}

// deletingSince remembers that the object is being deleted, and returns since when that is known.
func (m *memory) deletingSince(lock *v1alpha1.DistributedLock, now time.Time) (since time.Time) {
	since = now
	m.use(lock, func(o *remembered) {
		if o.deleting.IsZero() {
			o.deleting = now
		}
		since = o.deleting
	})
	return since
}

// use gives access to what is remembered of an object, if anything is.
func (m *memory) use(lock *v1alpha1.DistributedLock, with func(*remembered)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if o := m.objects[client.ObjectKeyFromObject(lock)]; o != nil && o.uid == lock.UID {
		with(o)
	}
}
