/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package mongolock

import (
	"slices"
	"strings"
)

// mark is what was seen of a lock: its last event, and its last change, which may be one of its queue or policy. The token tells the
// event from that with the same number of a document made anew. That a waiter has died, nothing but the number of the live ones tells.
type mark struct {
	seq, token int64
	fence      int64
	changedAt  int64 // milliseconds
	waiters    int
}

// before tells whether m is of an earlier time than n. Of a document that was made anew it may say so, too, but only if the server's clock has
// gone back: its stamp is later, and a grant has a larger token than all those of the document before.
func (m mark) before(n mark) bool {
	return m.seq < n.seq && m.fence <= n.fence && m.changedAt <= n.changedAt
}

func (d *document) mark() mark {
	m := mark{seq: d.State.Seq, fence: d.State.Fence, changedAt: d.State.ChangedAt.UnixMilli()}
	for _, w := range d.State.Waiters {
		if d.waits(w) {
			m.waiters++
		}
	}
	if n := len(d.State.Events); n > 0 {
		m.token = d.State.Events[n-1].Token
	}
	return m
}

// compare finds what is new since the last look.
func (r *reader) compare(docs []document, l *look) {
	before := r.known
	if l.complete {
		r.known = make(map[string]mark, len(docs))
	}
	for i := range docs {
		doc := &docs[i]
		r.serverNow, r.readAt = doc.Now, r.client.now()
		if doc.foreign != nil || strings.HasPrefix(doc.ID, scratchPrefix) {
			continue
		}
		last, known := before[doc.ID]
		if l.complete {
			delete(before, doc.ID)
		}
		r.see(doc, last, known, l)
	}
	if l.complete {
		for id := range before { // read no more: deleted, or nobody watches it now
			l.changes = append(l.changes, Change{State: State{ID: id}})
		}
	}
}

// see takes in a document, of which last was seen if it is known.
func (r *reader) see(doc *document, last mark, known bool, l *look) {
	seen := doc.mark()
	if !l.complete && seen.before(last) { // a new primary may show the past for a moment; if it is no past, a look at everything tells
		return
	}
	r.known[doc.ID] = seen
	if l.wide && doc.State.ChangedAt.After(r.latest) { // else what nobody rang for could lie before it
		r.latest = doc.State.ChangedAt
	}
	changed := !known || seen != last
	if !changed && !l.awaited {
		return // most of what a look at everything finds
	}
	state := doc.state()
	if l.awaited {
		l.states = append(l.states, state)
	}
	if changed {
		if last.waiters = seen.waiters; !l.complete && seen != last { // the death of a waiter has no stamp
			r.client.settings.metrics.FeedLag(doc.Now.Sub(doc.State.ChangedAt))
		}
		l.changes = append(l.changes, newChange(state, last))
	}
}

// newChange tells of the events after the last one seen. If that is not among them although it should be, the document was purged
// and made anew.
func newChange(state State, seen mark) Change {
	last := seen.seq
	anew := func(e Event) bool { return e.Seq == last && e.Token != seen.token }
	if state.Seq < last || slices.ContainsFunc(state.Events, anew) {
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
