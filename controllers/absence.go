/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package controllers

import (
	"context"
	"errors"
	"time"

	"github.com/mongolock/operator/pkg/mongolock"
)

const (
	// checkTimeout bounds one look at a batch of documents, and checkBatch how many that are.
	checkTimeout = 10 * time.Second
	checkBatch   = 500
	// fresh is how long an answer is not asked for again.
	fresh = 20 * time.Second
	// recheckAfter is when a lock that was found by a look, and of which the feed has not told since, is looked up again: if it was deleted
	// before the feed saw it, the feed never tells of that. It is longer than the feed takes to see what exists.
	recheckAfter = 10 * time.Second
)

// absence is why a lock is not in the mirror although somebody asked for it.
type absence struct {
	foreign bool // the document in its place was not written by mongolock
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
	m.askNow()
}

// askNow wakes up the goroutine that looks up what was asked for.
func (m *Mirror) askNow() {
	select {
	case m.asking <- struct{}{}:
	default: // already awake
	}
}

// Forget drops what is known of a lock, when the last object of it is deleted.
func (m *Mirror) Forget(ctx context.Context, id string) {
	if m.wake.hasObject(ctx, id) {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.overtake(id)
	delete(m.absent, id)
	delete(m.asked, id)
	delete(m.recheck, id)
	if !m.wake.everything {
		delete(m.locks, id)
	}
}

// checkAsked answers Check until ctx ends.
func (m *Mirror) checkAsked(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-m.asking:
		}
		for ids := m.nextAsked(); len(ids) > 0 && ctx.Err() == nil; ids = m.nextAsked() {
			if err := m.check(ctx, ids); err != nil {
				// The feed has the same trouble and reports it; whoever asked will ask again.
				m.log.V(1).Info("Could not look up locks", "locks", len(ids), "error", err.Error())
				m.recheckKnown(ids)
			}
		}
	}
}

// recheckKnown has those of the locks looked up again later that are in the picture: nobody else asks for them.
func (m *Mirror) recheckKnown(ids []string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, id := range ids {
		if _, known := m.locks[id]; known {
			m.recheck[id] = m.clock.Now().Add(recheckAfter)
		}
	}
}

// recheckDue has the locks looked up again for which it is time.
func (m *Mirror) recheckDue() {
	m.mu.Lock()
	defer m.mu.Unlock()
	due := false
	for id, at := range m.recheck {
		if m.clock.Now().Before(at) {
			continue
		}
		delete(m.recheck, id)
		m.asked[id] = struct{}{}
		due = true
	}
	if due {
		m.askNow()
	}
}

// nextAsked takes the next batch. The looks of the last one are over.
func (m *Mirror) nextAsked() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	clear(m.checking)
	var ids []string
	for id := range m.asked {
		if len(ids) == checkBatch {
			break
		}
		delete(m.asked, id)
		m.checking[id] = false
		ids = append(ids, id)
	}
	return ids
}

// overtake makes the answer of a look at the lock that is under way worthless: something newer is known. m.mu is held.
func (m *Mirror) overtake(id string) {
	if _, ok := m.checking[id]; ok {
		m.checking[id] = true
	}
}

// check looks up a batch with one query.
func (m *Mirror) check(ctx context.Context, ids []string) error {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	found := make(map[string]mongolock.State, len(ids))
	foreign := map[string]bool{}
	for state, err := range m.store.Find(ctx, ids) {
		switch {
		case errors.Is(err, mongolock.ErrForeignDocument):
			foreign[state.ID] = true
		case err != nil:
			return err
		default:
			found[state.ID] = state
		}
	}
	now := m.clock.Now()
	for _, id := range ids {
		if m.learn(id, found[id], absence{foreign: foreign[id], at: now}) {
			m.wake.lock(ctx, id)
		}
	}
	return nil
}

// learn takes in the answer of a look, and tells whether it is news.
func (m *Mirror) learn(id string, state mongolock.State, gone absence) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	overtaken := m.checking[id]
	_, known := m.locks[id]
	if overtaken || known && state.Exists {
		return overtaken // whoever asked asks again, if there is still a reason
	}
	if state.Exists {
		m.locks[id] = state
		m.recheck[id] = m.clock.Now().Add(recheckAfter)
		delete(m.absent, id)
		return true
	}
	delete(m.locks, id)
	was, checked := m.absent[id]
	m.absent[id] = gone
	return known || !checked || was.foreign != gone.foreign
}
