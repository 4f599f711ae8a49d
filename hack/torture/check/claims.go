//go:build linux

/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package check

import (
	"time"

	"github.com/mongolock/operator/hack/torture/history"
)

// claims compares what callers were told with what is stored: each grant, release and eviction has its event, each grant in the log has
// somebody who asked for it, and what nobody was told is resolved.
func (j *judge) claims() {
	for _, grants := range j.grants {
		for _, g := range grants {
			j.granted(g)
			j.cutShort(g)
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

// granted looks for the event of a grant.
func (j *judge) granted(g *grant) {
	l := j.log[g.Lock]
	e := l.find(g.Token, acquired)
	if e == nil || !e.inferred { // what follows from claims proves none
		j.looked("claims")
	}
	switch {
	case e == nil && !l.incomplete(g.Call, g.Return):
		j.violated("claims", g.Lock, g.Call, g.Return, "%s was granted token %d, of which no event tells", g.ID, g.Token)
	case e == nil:
	case e.Owner != g.Owner || e.before > g.Return || e.to < g.Call:
		j.violated("claims", g.Lock, g.Call, g.Return, "%s was granted token %d as %q, and the event tells of %q at another time", g.ID, g.Token, g.Owner, e.Owner)
	default:
		e.claimed = true
	}
}

// cutShort finds a grant that ended, by the log, while its holder surely believed in it: somebody else released it, or its lease was not
// as long as its holder was told.
func (j *judge) cutShort(g *grant) {
	l := j.log[g.Lock]
	for _, kind := range []string{released, evicted, expired} {
		if e := l.find(g.Token, kind); e != nil && !e.inferred && e.to < g.end {
			j.violated("claims", g.Lock, g.Return, g.end, "%s held token %d, of which an event tells that it was %s %s before",
				g.ID, g.Token, kind, g.end.Sub(e.to))
		}
	}
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
		} else if !l.incomplete(op.Call, op.Return) {
			j.violated("claims", op.Lock, op.Call, op.Return, "%s succeeded for token %d, of which no event tells", op.ID, op.Token)
		}
	}
}

var endOfKind = map[history.Kind]string{history.Unlock: released, history.Evict: evicted}

// settle is how long after its return a call may still have its effect: a release in the background, or a command that was held.
const settle = 15 * time.Second

// ended is when a call was over for its caller, at the latest; it may have its effect until settle after that.
func (j *judge) ended(op *history.Operation) history.Stamp {
	if op.Return != 0 {
		return op.Return
	}
	return min(j.killed(op), never.Add(-settle))
}

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
	ended := j.ended(op)
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
		case l.incomplete(op.Call, j.ended(op).Add(settle)):
			u.Unresolved++
			j.violated("unknown", op.Lock, op.Call, op.Return, "what became of %s is not known", op.ID)
		default:
			u.NotApplied++
		}
	}
}
