/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package mongolock

import (
	"context"
	"strings"
	"time"
)

const (
	// readPeriod is the time between two looks at what changed, sweepPeriod between two searches for leases that ended unnoticed.
	readPeriod  = 500 * time.Millisecond
	sweepPeriod = time.Second
	// overlap is how far each look reaches back behind the last change seen: changes become visible later than they are stamped, and
	// not in the order of their stamps.
	overlap = 2 * time.Second
	// resyncPeriod is the time between two looks at everything, which find deleted documents and repair what the stamps hid.
	resyncPeriod = 30 * time.Second
)

// reader polls the store on behalf of a feed. It works on every server; nothing but its goroutine touches its fields below nudge.
type reader struct {
	feed   *feed
	client *Client
	stop   context.CancelFunc
	nudge  chan struct{}

	known  map[string]int64 // lock id to the number of the last event seen
	latest time.Time        // the last change seen, by the server's clock
	// serverNow is the server's time of the last read. Every read returns at least the last change again, and so the time.
	serverNow time.Time
	joined    int64 // the look at everything was made for the watchers up to this number
	resyncAt  time.Duration
	sweepAt   time.Duration
}

// look is what one read found.
type look struct {
	complete bool    // everything in scope was read
	joined   int64   // the scope was that of the watchers up to this number
	states   []State // all that was read
	changes  []Change
}

// hurry makes the reader look again without waiting for its period.
func (r *reader) hurry() {
	select {
	case r.nudge <- struct{}{}:
	default:
	}
}

func (r *reader) run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-r.nudge:
		}
		if err := r.step(ctx); err != nil && ctx.Err() == nil {
			r.feed.fail(r, err)
		}
		timer.Reset(readPeriod)
	}
}

// step reads, and sweeps if it is time to.
func (r *reader) step(ctx context.Context) error {
	if err := r.client.ready(ctx); err != nil {
		return err
	}
	now := r.client.now()
	ids, joined := r.feed.scope()
	q := query{ids: ids}
	complete := joined != r.joined || now >= r.resyncAt
	if !complete {
		q.changedAfter = r.latest.Add(-overlap)
	}
	docs, err := r.client.readAttempt(ctx, q)
	if err != nil {
		return err
	}
	if complete {
		r.joined, r.resyncAt = joined, now+resyncPeriod
	}
	r.feed.deliver(r, r.compare(docs, complete, joined))
	if now < r.sweepAt || r.serverNow.IsZero() {
		return nil
	}
	r.sweepAt = now + sweepPeriod
	return r.sweep(ctx)
}

// sweep turns leases that ended unnoticed into events.
func (r *reader) sweep(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, maxAttempt)
	defer cancel()
	n, err := r.client.store.sweep(ctx, r.serverNow)
	if n > 0 {
		r.hurry()
	}
	return err
}

// compare finds what is new since the last look.
func (r *reader) compare(docs []document, complete bool, joined int64) look {
	l := look{complete: complete, joined: joined}
	gone := map[string]int64{}
	if complete {
		gone, r.known = r.known, make(map[string]int64, len(docs))
	}
	for i := range docs {
		doc := &docs[i]
		r.serverNow = doc.Now
		if doc.foreign != nil || strings.HasPrefix(doc.ID, scratchPrefix) {
			continue
		}
		last, before := r.known[doc.ID]
		if complete {
			last, before = gone[doc.ID]
			delete(gone, doc.ID)
		}
		r.known[doc.ID] = doc.Seq
		if doc.ChangedAt.After(r.latest) {
			r.latest = doc.ChangedAt
		}
		state := doc.state()
		l.states = append(l.states, state)
		if !before || doc.Seq != last {
			l.changes = append(l.changes, newChange(state, last))
		}
	}
	for id := range gone {
		l.changes = append(l.changes, Change{State: State{ID: id}})
	}
	return l
}

// newChange tells of the events after number last. A smaller number than that means that the document was purged and made anew.
func newChange(state State, last int64) Change {
	if state.Seq < last {
		last = 0
	}
	change := Change{State: state}
	for i, e := range state.Events {
		if e.Seq > last {
			change.Events = state.Events[i:]
			change.Missed = e.Seq - last - 1
			break
		}
	}
	return change
}
