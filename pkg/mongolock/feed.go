/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package mongolock

import (
	"context"
	"sync"
)

// feed tells watchers what changed. A client has one reader, and only while somebody watches.
type feed struct {
	client *Client

	mu       sync.Mutex
	watchers map[*Watcher]struct{}
	joined   int64 // number of watchers so far; the last one's number
	reader   *reader
	err      error // why the last look failed
}

func newFeed(c *Client) *feed {
	return &feed{client: c, watchers: map[*Watcher]struct{}{}}
}

// add starts a watcher, and the reader with the first one. It is false when the client is closed.
func (f *feed) add(w *Watcher) bool {
	c := f.client
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return false
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.joined++
	w.number = f.joined
	f.watchers[w] = struct{}{}
	if f.reader == nil {
		ctx, stop := context.WithCancel(c.closing)
		r := &reader{feed: f, client: c, stop: stop, nudge: make(chan struct{}, 1), known: map[string]mark{}, news: map[string]struct{}{}}
		f.reader, f.err = r, nil
		c.bell.listen()
		c.tasks.Go(func() { r.run(ctx) })
	} else {
		f.reader.hurry()
	}
	c.tasks.Go(w.pump)
	return true
}

// remove stops the reader with the last watcher.
func (f *feed) remove(w *Watcher) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.watchers, w)
	if len(f.watchers) == 0 && f.reader != nil {
		f.reader.stop()
		f.reader = nil
		f.client.bell.unlisten()
	}
}

// rung tells that the doorbell rang for these locks, or if there are none, that anything may have changed.
func (f *feed) rung(locks []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.reader == nil:
	case len(locks) == 0:
		f.reader.hurry()
	default:
		f.reader.look(locks)
	}
}

// scope is which locks have to be read, none meaning all, and for whom: the watchers up to that number.
func (f *feed) scope() (ids []string, joined int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	wanted := map[string]struct{}{}
	for w := range f.watchers {
		if len(w.ids) == 0 {
			return nil, f.joined
		}
		for id := range w.ids {
			wanted[id] = struct{}{}
		}
	}
	for id := range wanted {
		ids = append(ids, id)
	}
	return ids, f.joined
}

// deliver hands what a look saw to the watchers. A watcher that is new is told of every lock, once, after a look at everything that
// was made for it; from then on it is told of changes.
func (f *feed) deliver(r *reader, l look) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.reader != r {
		return // stopped meanwhile
	}
	for w := range f.watchers {
		switch {
		case w.synced.Load():
			for _, change := range l.changes {
				w.push(change)
			}
		case l.complete && w.number <= l.joined:
			for _, state := range l.states {
				w.push(Change{State: state})
			}
			w.synced.Store(true)
		}
	}
}

// report keeps how the last step went.
func (f *feed) report(r *reader, err error) {
	f.mu.Lock()
	if f.reader != r {
		f.mu.Unlock()
		return
	}
	first := f.err == nil && err != nil
	f.err = err
	f.mu.Unlock()
	if first {
		f.client.log.Info("Feed interrupted", "reason", err.Error())
	}
}

func (f *feed) lastError() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.err
}
