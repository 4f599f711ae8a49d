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

// checkTimeout bounds one look at a single document.
const checkTimeout = 5 * time.Second

// Check has the mirror find out whether a lock that the feed does not know is absent or has a foreign document in its place. It does
// not wait; the objects of the lock are reconciled if the answer is news.
func (m *Mirror) Check(id string) {
	m.mu.Lock()
	m.asked[id] = struct{}{}
	m.mu.Unlock()
	select {
	case m.asking <- struct{}{}:
	default: // already awake
	}
}

// Forget drops what Check has found out, when an object of the lock is deleted.
func (m *Mirror) Forget(id string) {
	m.mu.Lock()
	defer m.mu.Unlock()
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
		return id, true
	}
	return "", false
}

func (m *Mirror) check(ctx context.Context, id string) error {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	state, err := m.store.Get(ctx, id)
	foreign := errors.Is(err, mongolock.ErrForeignDocument)
	if err != nil && !foreign {
		return fmt.Errorf("get: %w", err)
	}
	if state.Exists {
		return nil // the feed is about to say so
	}
	m.mu.Lock()
	was, checked := m.absent[id]
	_, known := m.locks[id]
	if !known {
		m.absent[id] = foreign
	}
	m.mu.Unlock()
	if !known && (!checked || was != foreign) {
		m.wake.lock(ctx, id)
	}
	return nil
}
