//go:build linux

/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package check

import (
	"maps"
	"slices"

	"github.com/mongolock/operator/hack/torture/history"
)

// The types of events.
const (
	acquired = "acquired"
	released = "released"
	evicted  = "evicted"
	expired  = "expired"
)

// eventLog is all that the auditor saw happen to a lock.
type eventLog struct {
	events []*logged
	// of finds an event by the token and the type.
	of map[tokenType]*logged
	// sequence finds events by their number; there are several when the document was made anew.
	sequence map[int64][]*logged
	open     []gap // in which something happened that is not known
	gaps     int64 // events in them
	last     int64 // number of the last event
	anew     bool  // the document was made anew, and no event of it is known yet
	shared   map[int64]bool
}

type tokenType struct {
	token int64
	kind  string
}

// logged is an event, and when it happened: between two looks.
type logged struct {
	history.Event
	before, to history.Stamp
	gap        bool // events between the one before and it are not known
	inferred   bool // nobody saw it, but callers were told what it tells: see closeGaps
	anew       bool // it is the first since the document was made anew
	claimed    bool // by a caller who was told that it succeeded
	// by is the operation that best explains an acquisition that nobody claims, and called the first call of all that may explain it.
	by     *history.Operation
	called history.Stamp
}

func (j *judge) readLogs() {
	for lock, looks := range j.looks {
		l := &eventLog{of: map[tokenType]*logged{}, sequence: map[int64][]*logged{}, shared: map[int64]bool{}}
		j.log[lock] = l
		var were map[int64]bool // holders in the look before
		for i, look := range looks {
			if look.Anew {
				were = nil
			}
			for _, h := range look.Holders {
				l.shared[h.Token] = h.Shared
			}
			if look.Exists {
				l.last = look.Seq
			}
			events, missing := j.fill(look, looks[i+1:])
			l.gaps += missing
			if missing > 0 {
				l.open = append(l.open, gap{look.Before, look.To, missing, were, tokensOf(look.Holders)})
			}
			if look.Exists {
				were = tokensOf(look.Holders)
			}
			l.add(look, events)
		}
		j.closeGaps(lock, l)
	}
}

// add adds what a look saw.
func (l *eventLog) add(look *history.Look, events []history.Event) {
	l.anew = l.anew || look.Anew
	for _, e := range events {
		last := int64(0)
		if n := len(l.events); n > 0 && !l.anew {
			last = l.events[n-1].Seq
		}
		event := &logged{Event: e, before: look.Before, to: look.To, gap: e.Seq != last+1, anew: l.anew}
		l.anew = false
		l.events = append(l.events, event)
		l.of[tokenType{e.Token, e.Type}] = event
		l.sequence[e.Seq] = append(l.sequence[e.Seq], event)
	}
}

// fill returns the events of a look with those before them that the auditor missed, as far as watchers were told of them while it was the
// same document, and how many are missing still.
func (j *judge) fill(look *history.Look, later []*history.Look) ([]history.Event, int64) {
	if look.Gap == 0 {
		return look.Events, 0
	}
	until := look.To.Add(settle)
	if i := slices.IndexFunc(later, func(l *history.Look) bool { return l.Anew }); i >= 0 {
		until = min(until, later[i].Before)
	}
	next := look.Seq + 1
	if len(look.Events) > 0 {
		next = look.Events[0].Seq
	}
	missing := map[int64]history.Event{}
	for i := range j.h.Changes {
		c := &j.h.Changes[i]
		if c.Lock != look.Lock || c.At < look.Before || c.At > until {
			continue
		}
		for _, e := range c.Events {
			if e.Seq >= next-look.Gap && e.Seq < next {
				missing[e.Seq] = e
			}
		}
	}
	var events []history.Event
	for _, seq := range slices.Sorted(maps.Keys(missing)) {
		events = append(events, missing[seq])
	}
	return append(events, look.Events...), look.Gap - int64(len(missing))
}

// checkLogs replays what happened to each lock, in the server's order: nobody is granted a lock that another holds, nobody's grant ends
// that holds nothing, and tokens increase, also from one document of a lock to the next.
func (j *judge) checkLogs() {
	for lock, l := range j.log {
		r := replay{judge: j, lock: lock, log: l}
		for _, e := range l.events {
			r.event(e)
		}
		if seen := int64(len(l.events)); l.gaps*100 > seen {
			j.violated("audit", lock, j.h.Begin, j.h.End, "the auditor missed %d of %d events", l.gaps, l.gaps+seen)
		}
	}
}

// replay is a lock as its events make it.
type replay struct {
	*judge
	lock    string
	log     *eventLog
	largest int64          // token
	holders map[int64]mode // by token
	granted map[int64]bool // tokens whose grants are known since the last gap or the making of the document
	gap     bool           // in this document there may be grants that are not known
}

func (r *replay) event(e *logged) {
	r.looked("log")
	if e.anew {
		r.gap = false
	}
	if e.anew || e.gap || r.holders == nil {
		r.holders, r.granted = map[int64]mode{}, map[int64]bool{}
		r.gap = r.gap || e.gap
	}
	if e.Type != acquired {
		if _, ok := r.holders[e.Token]; !ok && (!r.gap || r.granted[e.Token]) {
			r.violated("log", r.lock, e.before, e.to, "event %d: token %d was %s and did not hold it", e.Seq, e.Token, e.Type)
		}
		delete(r.holders, e.Token)
		return
	}
	if e.Token <= r.largest {
		r.violated("tokens", r.lock, e.before, e.to, "event %d: token %d was granted after %d", e.Seq, e.Token, r.largest)
	}
	r.largest = max(r.largest, e.Token)
	m := r.modeOf(r.lock, r.log, e)
	if !r.fits(r.lock, r.holders, m) {
		r.violated("log", r.lock, e.before, e.to, "event %d: token %d was granted while %v held it", e.Seq, e.Token, r.holders)
	}
	r.holders[e.Token], r.granted[e.Token] = m, true
}

// mode is whether a grant is shared, as far as that is known.
type mode struct{ known, shared bool }

func (j *judge) modeOf(lock string, l *eventLog, e *logged) mode {
	if shared, seen := l.shared[e.Token]; seen {
		return mode{true, shared}
	}
	if g := j.byToken[tokenOf{lock, e.Token}]; g != nil {
		return mode{true, g.Shared}
	}
	if operations := j.byOwner[e.Owner]; len(operations) == 1 {
		return mode{true, operations[0].Shared}
	}
	return mode{} // shorter than the time between two looks, and of one of those who share a name
}

// fits tells whether a grant fits to the holders. What is not known is taken for what fits.
func (j *judge) fits(lock string, holders map[int64]mode, m mode) bool {
	capacity := max(1, j.rules.Capacity[lock])
	if capacity == 1 || m.known && !m.shared {
		return len(holders) == 0
	}
	for _, h := range holders {
		if h.known && !h.shared {
			return false
		}
	}
	return len(holders) < capacity
}

func (l *eventLog) find(token int64, kind string) *logged {
	if l == nil {
		return nil
	}
	return l.of[tokenType{token, kind}]
}
