/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package mongolock

import (
	"slices"
	"sync"
)

// lines are where the goroutines of one client wait for each other: one for each lock, first come first. Only the first of a line
// asks the server, so that a lock has one waiter for each process in its document, and not one for each goroutine.
type lines struct {
	mu    sync.Mutex
	turns map[string][]chan struct{} // by lock id; a channel is closed when its owner is the first
}

func newLines() *lines { return &lines{turns: map[string][]chan struct{}{}} }

// join stands in the lock's line. The caller is the first when turn is closed; first tells that it is at once. It must leave.
func (l *lines) join(lock string) (turn chan struct{}, first bool) {
	turn = make(chan struct{})
	l.mu.Lock()
	defer l.mu.Unlock()
	l.turns[lock] = append(l.turns[lock], turn)
	if first = len(l.turns[lock]) == 1; first {
		close(turn)
	}
	return turn, first
}

func (l *lines) leave(lock string, turn chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	line := l.turns[lock]
	i := slices.Index(line, turn)
	line = slices.Delete(line, i, i+1)
	if len(line) == 0 {
		delete(l.turns, lock)
		return
	}
	l.turns[lock] = line
	if i == 0 {
		close(line[0])
	}
}
