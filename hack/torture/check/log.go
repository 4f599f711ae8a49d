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
	"time"

	"github.com/mongolock/operator/hack/torture/history"
)

// The types of events.
const (
	acquired = "acquired"
	released = "released"
	evicted  = "evicted"
)

// eventLog is all that the auditor saw happen to a lock.
type eventLog struct {
	events []*logged
	// of finds an event by the token and the type.
	of map[tokenType]*logged
	// sequence finds events by their number; there are several when the document was made anew.
	sequence map[int64][]*logged
	open     []gap
	gaps     int64 // events in them that are not known
	closed   int64 // events in them that were found out
	last     int64 // number of the last event
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
	gap        bool // events before it are not known
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
		anew := false
		for _, look := range looks {
			anew = anew || look.Anew
			for _, h := range look.Holders {
				l.shared[h.Token] = h.Shared
			}
			if look.Exists {
				l.last = look.Seq
			}
			events, missing := j.fill(look)
			l.gaps += missing
			if missing > 0 {
				l.open = append(l.open, gap{look.Before, look.To, missing})
			}
			for i, e := range events {
				event := &logged{Event: e, before: look.Before, to: look.To, gap: i == 0 && missing > 0, anew: anew}
				anew = false
				l.events = append(l.events, event)
				l.of[tokenType{e.Token, e.Type}] = event
				l.sequence[e.Seq] = append(l.sequence[e.Seq], event)
			}
		}
		j.closeGaps(lock, l)
	}
}

// fill returns the events of a look with those before them that the auditor missed, as far as watchers were told of them, and how many are
// missing still.
func (j *judge) fill(look *history.Look) ([]history.Event, int64) {
	if look.Gap == 0 {
		return look.Events, 0
	}
	next := look.Seq + 1
	if len(look.Events) > 0 {
		next = look.Events[0].Seq
	}
	missing := map[int64]history.Event{}
	for i := range j.h.Changes {
		c := &j.h.Changes[i]
		if c.Lock != look.Lock || c.At < look.Before || c.At > look.To.Add(settle) {
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
		holders := map[int64]mode{} // by token
		largest, seen := int64(0), int64(0)
		for _, e := range l.events {
			seen++
			j.looked("log")
			if e.anew || e.gap {
				clear(holders)
			}
			if e.Type != acquired {
				if _, ok := holders[e.Token]; !ok && l.gaps+l.closed == 0 {
					j.violated("log", lock, e.before, e.to, "event %d: token %d was %s and did not hold it", e.Seq, e.Token, e.Type)
				}
				delete(holders, e.Token)
				continue
			}
			if e.Token <= largest {
				j.violated("tokens", lock, e.before, e.to, "event %d: token %d was granted after %d", e.Seq, e.Token, largest)
			}
			largest = max(largest, e.Token)
			m := j.modeOf(lock, l, e)
			if !j.fits(lock, holders, m) {
				j.violated("log", lock, e.before, e.to, "event %d: token %d was granted while %v held it", e.Seq, e.Token, holders)
			}
			holders[e.Token] = m
		}
		if l.gaps*100 > seen {
			j.violated("audit", lock, j.h.Begin, j.h.End, "the auditor missed %d of %d events", l.gaps, l.gaps+seen)
		}
	}
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

// claims compares what callers were told with what is stored: each grant, release and eviction has its event, each grant in the log has
// somebody who asked for it, and what nobody was told is resolved.
func (j *judge) claims() {
	for lock, grants := range j.grants {
		l := j.log[lock]
		for _, g := range grants {
			j.looked("claims")
			e := l.find(g.Token, acquired)
			switch {
			case e == nil && !l.incomplete():
				j.violated("claims", lock, g.Call, g.Return, "%s was granted token %d, of which no event tells", g.ID, g.Token)
			case e == nil:
			case e.Owner != g.Owner || e.before > g.Return || e.to < g.Call:
				j.violated("claims", lock, g.Call, g.Return, "%s was granted token %d as %q, and the event tells of %q at another time", g.ID, g.Token, g.Owner, e.Owner)
			default:
				e.claimed = true
			}
		}
	}
	j.endings()
	for lock, l := range j.log {
		for _, e := range l.events {
			if e.Type != acquired || e.claimed {
				continue
			}
			if j.explain(lock, e); e.by == nil {
				j.violated("claims", lock, e.before, e.to, "token %d was granted to %q, who did not ask for it", e.Token, e.Owner)
			}
		}
	}
	j.resolve()
}

// endings looks for the events of releases and evictions that succeeded.
func (j *judge) endings() {
	for i := range j.h.Operations {
		op := &j.h.Operations[i]
		kind := endOfKind[op.Kind]
		if kind == "" || op.Outcome != history.OK {
			continue
		}
		j.looked("claims")
		l := j.log[op.Lock]
		if e := l.find(op.Token, kind); e != nil {
			e.claimed = true
		} else if !l.incomplete() {
			j.violated("claims", op.Lock, op.Call, op.Return, "%s succeeded for token %d, of which no event tells", op.ID, op.Token)
		}
	}
}

var endOfKind = map[history.Kind]string{history.Unlock: released, history.Evict: evicted}

func (l *eventLog) find(token int64, kind string) *logged {
	if l == nil {
		return nil
	}
	return l.of[tokenType{token, kind}]
}

// incomplete tells that something may have happened of which no event is known.
func (l *eventLog) incomplete() bool { return l == nil || l.gaps > 0 }

// settle is how long after its return a call may still have its effect: a release in the background, or a command that was held.
const settle = 15 * time.Second

// explain finds the operation to which a grant went that nobody claims: one whose caller was not told, or one that waited and did not take
// it in time. Any other operation only if it was disturbed. Several operations may share the owner's name: which it was cannot be told then.
// The best explanation is taken, and the latest of equals.
func (j *judge) explain(lock string, e *logged) {
	bestRank := 0
	for _, op := range j.byOwner[e.Owner] { // in order of their calls
		if op.Lock != lock || op.Call > e.to || op.Token == e.Token && op.Outcome == history.OK {
			continue
		}
		rank := j.explains(op, e)
		if rank > 0 && e.by == nil {
			e.called = op.Call
		}
		if rank > 0 && rank >= bestRank {
			e.by, bestRank = op, rank
		}
	}
}

// explains tells how well an operation explains a grant; 0: not at all.
func (j *judge) explains(op *history.Operation, e *logged) int {
	ended := op.Return
	if ended == 0 {
		ended = never.Add(-settle)
	}
	// Who waits may be granted the lock and not take it: because it gave up, or was evicted or too late and waits again.
	waits := op.Kind == history.Wait && (op.Outcome != history.OK || e.Token < op.Token)
	switch {
	case e.before > ended.Add(settle):
		return 0
	case op.Outcome == history.Unknown:
		return 3
	case !waits && !j.disturbed(op, e.to):
		return 0
	case e.before <= ended:
		return 2
	}
	return 1
}

// disturbed tells whether a request of an operation may have been carried out twice, or after its caller had given it up: because of a
// fault, because it took so long that it was sent again, or because the load ended.
func (j *judge) disturbed(op *history.Operation, until history.Stamp) bool {
	const attempts = 6 // that fit into a lease
	return op.Return >= j.h.End || op.Return.Sub(op.Call) >= op.Lease/attempts || j.hit(op.Call, until, op.Lock, op.Worker)
}

// resolve counts what became of the operations whose callers were not told.
func (j *judge) resolve() {
	granted := map[string]bool{}
	for _, l := range j.log {
		for _, e := range l.events {
			if e.by != nil {
				granted[e.by.ID] = true
			}
		}
	}
	u := &j.verdict.Unknown
	for i := range j.h.Operations {
		op := &j.h.Operations[i]
		if op.Outcome != history.Unknown || !acquires(op.Kind) && endOfKind[op.Kind] == "" {
			continue
		}
		u.Total++
		l := j.log[op.Lock]
		switch {
		case acquires(op.Kind) && granted[op.ID], endOfKind[op.Kind] != "" && l.find(op.Token, endOfKind[op.Kind]) != nil:
			u.Applied++
		case l.incomplete():
			u.Unresolved++
			j.violated("unknown", op.Lock, op.Call, op.Return, "what became of %s is not known", op.ID)
		default:
			u.NotApplied++
		}
	}
}
