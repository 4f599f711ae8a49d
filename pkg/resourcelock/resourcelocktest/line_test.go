/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package resourcelocktest_test

import (
	"context"
	"errors"
	"sync"
)

var errReplyLost = errors.New("the reply was lost")

// line is a candidate's connection, for backends that have nothing better to break. The zero value works.
type line struct {
	mu   sync.Mutex
	dead chan struct{} // closed when it heals; nil: it is well
	lose chan struct{} // closed when a reply was lost; nil: none is to be
}

// Blackhole implements [resourcelocktest.Connection].
func (l *line) Blackhole() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.dead == nil {
		l.dead = make(chan struct{})
	}
}

// Heal implements [resourcelocktest.Connection].
func (l *line) Heal() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.dead != nil {
		close(l.dead)
		l.dead = nil
	}
}

// LoseReply implements [resourcelocktest.Connection].
func (l *line) LoseReply() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lose = make(chan struct{})
	return l.lose
}

// carry carries a request out, and brings or loses the answer.
func (l *line) carry(ctx context.Context, writes bool, request func() error) error {
	if err := l.pass(ctx); err != nil {
		return err
	}
	if err := request(); err != nil {
		return err
	}
	if err := l.pass(ctx); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.lose == nil || !writes {
		return nil
	}
	close(l.lose)
	l.lose = nil
	return errReplyLost
}

// pass waits while the line is dead.
func (l *line) pass(ctx context.Context) error {
	l.mu.Lock()
	dead := l.dead
	l.mu.Unlock()
	if dead != nil {
		select {
		case <-dead:
		case <-ctx.Done():
		}
	}
	return ctx.Err()
}
