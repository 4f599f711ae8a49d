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

	"github.com/mongolock/operator/pkg/mongolock"
)

const (
	// checkTimeout bounds one look at a single document.
	checkTimeout = 5 * time.Second
	// fresh is how long an answer is not asked for again.
	fresh = 20 * time.Second
)

// absence is why a lock is not in the mirror although somebody asked for it.
type absence struct {
	foreign bool // the document in its place was not written by mongolock
	invalid bool // there can be no lock with such an id
	at      time.Time
}

// Check has the mirror look up a lock that it does not have: the feed told of it before an object wanted it, or it is absent, or has
// a foreign document in its place. It does not wait; the objects of the lock are reconciled if the answer is news.
func (m *Mirror) Check(id string) {
	m.mu.Lock()
	if a, ok := m.absent[id]; ok && m.clock.Since(a.at) < fresh {
		m.mu.Unlock()
		return
	}
	m.asked[id] = struct{}{}
	m.mu.Unlock()
	select {
	case m.asking <- struct{}{}:
	default: // already awake
	}
}

// Forget drops what is known of a lock, when the last object of it is deleted.
func (m *Mirror) Forget(ctx context.Context, id string) {
	if m.wake.wanted(ctx, id) {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.overtake(id)
	delete(m.locks, id)
	delete(m.absent, id)
	delete(m.asked, id)
}

// checkAsked answers Check until ctx ends.
func (m *Mirror) checkAsked(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-m.asking:
		}
		for id, ok := m.nextAsked(); ok && ctx.Err() == nil; id, ok = m.nextAsked() {
			if err := m.check(ctx, id); err != nil {
				// The feed has the same trouble and reports it; whoever asked will ask again.
				m.log.V(1).Info("Could not look up a lock", "lock", id, "error", err.Error())
			}
		}
	}
}

func (m *Mirror) nextAsked() (string, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for id := range m.asked {
		delete(m.asked, id)
		m.checking, m.overtaken = id, false
		return id, true
	}
	return "", false
}

// overtake makes the answer of a look at the lock that is under way worthless: something newer is known. m.mu is held.
func (m *Mirror) overtake(id string) {
	if m.checking == id {
		m.overtaken = true
	}
}

func (m *Mirror) check(ctx context.Context, id string) error {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	state, err := m.store.Get(ctx, id)
	found := absence{foreign: errors.Is(err, mongolock.ErrForeignDocument), invalid: errors.Is(err, mongolock.ErrInvalid), at: m.clock.Now()}
	if err != nil && !found.foreign && !found.invalid {
		return fmt.Errorf("get: %w", err)
	}
	if m.learn(id, state, found) {
		m.wake.lock(ctx, id)
	}
	return nil
}

// learn takes in the answer of a look, and tells whether it is news.
func (m *Mirror) learn(id string, state mongolock.State, found absence) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	_, known := m.locks[id]
	if known || m.overtaken {
		return m.overtaken // whoever asked asks again, if there is still a reason
	}
	if state.Exists {
		m.locks[id] = state
		delete(m.absent, id)
		return true
	}
	was, checked := m.absent[id]
	m.absent[id] = found
	return !checked || was.foreign != found.foreign || was.invalid != found.invalid
}
