/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package controllers

import (
	"sync"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/mongolock/operator/api/v1alpha1"
)

// memory is what the reconciler remembers of the objects that exist.
type memory struct {
	mu      sync.Mutex
	objects map[types.NamespacedName]*remembered
}

func newMemory() *memory {
	return &memory{objects: map[types.NamespacedName]*remembered{}}
}

type remembered struct {
	uid    types.UID
	lockID string
	// outage and reasons are what was said of an outage, for this generation of the spec.
	outage     int
	generation int64
	reasons    map[string]bool
}

// know remembers that an object exists. One that was replaced by another of the same name is new.
func (m *memory) know(lock *v1alpha1.DistributedLock) {
	m.mu.Lock()
	defer m.mu.Unlock()
	key := client.ObjectKeyFromObject(lock)
	if o := m.objects[key]; o == nil || o.uid != lock.UID {
		m.objects[key] = &remembered{uid: lock.UID, lockID: lock.LockID()}
	}
}

// forget drops an object and returns the id of its lock.
func (m *memory) forget(key types.NamespacedName) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	o := m.objects[key]
	delete(m.objects, key)
	if o == nil {
		return ""
	}
	return o.lockID
}

// said tells whether the object was told of this outage for this reason.
func (m *memory) said(lock *v1alpha1.DistributedLock, h Health) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	o := m.objects[client.ObjectKeyFromObject(lock)]
	return o != nil && o.uid == lock.UID && o.outage == h.Outage && o.generation == lock.Generation && o.reasons[h.Reason]
}

// say remembers that the object was told.
func (m *memory) say(lock *v1alpha1.DistributedLock, h Health) {
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
}
