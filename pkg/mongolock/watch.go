/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package mongolock

import (
	"context"
	"sync"
	"sync/atomic"
)

// Change is what a [Watcher] saw of one lock.
type Change struct {
	// State is the lock as it is now. Its Exists is false when the document was purged or deleted.
	State State
	// Events are the new ones, oldest first; none in the first Change of a lock that existed when the watch began (State.Events has its
	// past), nor in one that tells of the queue or the policy. If the document was deleted and made anew in between, they are of both, and
	// their Seq begins again.
	Events []Event
	// Missed is the number of events of this lock that were lost before Events: more happened between two looks than a lock keeps.
	Missed int64
}

// Watcher tells of the transitions of locks, acquired, released, expired and evicted, and of changes of their queues and policies, which
// have no events. It does not tell of renewals. It begins with one Change for each lock that exists. Changes of one lock come in order,
// each event once. They come within about a second of the transition, an expiry within two, and where the doorbell rings (see [WithFeed])
// at once. That a waiter has died comes within 45 s: its place lasts 15 s, and nothing tells of its end. A consumer that falls behind
// gets several transitions of a lock in one Change and slows nobody down.
type Watcher struct {
	feed    *feed
	ids     map[string]struct{} // none: all locks
	number  int64
	synced  atomic.Bool
	changes chan Change

	ctx  context.Context // done when the watcher is closed
	stop context.CancelFunc
	wake chan struct{}

	mu      sync.Mutex
	order   []string // ids with a pending change, in order of arrival
	pending map[string]Change
}

// Watch watches the given locks, or all. The watcher lives until it or the client is closed, or ctx is done. It may return
// [ErrInvalid] or [ErrClosed]; trouble with the server later is told by [Watcher.Err], and ends by itself.
func (c *Client) Watch(ctx context.Context, ids ...string) (*Watcher, error) {
	w := &Watcher{
		feed: c.feed, ids: map[string]struct{}{}, changes: make(chan Change),
		wake: make(chan struct{}, 1), pending: map[string]Change{},
	}
	for _, id := range ids {
		if err := validateID(id); err != nil {
			return nil, err
		}
		w.ids[id] = struct{}{}
	}
	w.ctx, w.stop = context.WithCancel(ctx)
	if !c.feed.add(w) { //nolint:contextcheck // the feed serves all watchers and outlives this one's context
		w.stop()
		return nil, ErrClosed
	}
	return w, nil
}

// Changes delivers what happens. It is closed when the watcher has ended.
func (w *Watcher) Changes() <-chan Change { return w.changes }

// Err is nil while the feed works, and otherwise tells why the last look failed: it matches [ErrUnreachable], [ErrUnauthorized] or
// [ErrUnsupportedServer]. The feed goes on trying; nothing that the server still knows is lost.
func (w *Watcher) Err() error { return w.feed.lastError() }

// Synced tells whether all locks that existed when the watch began have been read.
func (w *Watcher) Synced() bool { return w.synced.Load() }

// Close ends the watcher. It may be called more than once.
func (w *Watcher) Close() { w.stop() }

// push adds a change, merging it with one of the same lock that has not been fetched yet. The feed calls it.
func (w *Watcher) push(change Change) {
	id := change.State.ID
	if _, ok := w.ids[id]; len(w.ids) > 0 && !ok {
		return
	}
	w.mu.Lock()
	waiting, ok := w.pending[id]
	if ok {
		change = merge(waiting, change)
	} else {
		w.order = append(w.order, id)
	}
	w.pending[id] = change
	w.mu.Unlock()
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// merge keeps all events if there is no gap between the two, and no more than a lock itself would keep.
func merge(older, newer Change) Change {
	events := append(append([]Event(nil), older.Events...), newer.Events...)
	skip := max(0, len(events)-ringSize)
	if newer.Missed > 0 {
		skip = len(older.Events)
	}
	return Change{State: newer.State, Events: events[skip:], Missed: older.Missed + newer.Missed + int64(skip)}
}

func (w *Watcher) pop() (Change, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.order) == 0 {
		return Change{}, false
	}
	id := w.order[0]
	w.order = w.order[1:]
	change := w.pending[id]
	delete(w.pending, id)
	return change, true
}

// pump moves changes from the pending ones to the consumer until the watcher ends.
func (w *Watcher) pump() {
	defer close(w.changes)
	defer w.feed.remove(w)
	closing := w.feed.client.closing.Done()
	for {
		change, ok := w.pop()
		if !ok {
			select {
			case <-w.wake:
				continue
			case <-w.ctx.Done():
			case <-closing:
			}
			w.stop()
			return
		}
		select {
		case w.changes <- change:
		case <-w.ctx.Done():
			return
		case <-closing:
			w.stop()
			return
		}
	}
}
