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

// gap is some events that neither the auditor nor a watcher saw: more happened between two looks than a document keeps. How many they are
// their numbers tell.
type gap struct {
	before, to history.Stamp
	missing    int64
	// were and are the holders, by token, of the looks before and after it.
	were, are map[int64]bool
}

func tokensOf(holders []history.Holder) map[int64]bool {
	tokens := map[int64]bool{}
	for _, h := range holders {
		tokens[h.Token] = true
	}
	return tokens
}

// closeGaps finds out what happened in gaps by what callers were told: each grant and each end that succeeded has an event, and a grant that
// is not there any more, and that nobody ended, has expired. If they are as many as the missing events, they are taken for those, and
// whatever else was asked for meanwhile for not carried out.
func (j *judge) closeGaps(lock string, l *eventLog) {
	var open []gap
	for _, g := range l.open {
		found := j.grantedIn(lock, l, g)
		found = append(found, j.endedIn(lock, l, g)...)
		found = append(found, j.expiredIn(lock, l, g, found)...)
		if int64(len(found)) != g.missing {
			open = append(open, g)
			continue
		}
		for _, e := range found {
			l.of[tokenType{e.Token, e.Type}] = e
		}
		l.gaps -= g.missing
	}
	l.open = open
}

// incomplete tells that something may have happened between the times given of which no event is known.
func (l *eventLog) incomplete(from, to history.Stamp) bool {
	return l == nil || slices.ContainsFunc(l.open, func(g gap) bool { return g.before <= to && g.to >= from })
}

// complete tells that all that happened is known.
func (l *eventLog) complete() bool { return l != nil && len(l.open) == 0 }

func (g gap) during(op *history.Operation) bool {
	return op.Call <= g.to && (op.Return == 0 || op.Return >= g.before)
}

func (g gap) event(kind, owner string, token int64) *logged {
	return &logged{Event: history.Event{Type: kind, Owner: owner, Token: token}, before: g.before, to: g.to, inferred: true}
}

func (j *judge) grantedIn(lock string, l *eventLog, in gap) (found []*logged) {
	for _, g := range j.grants[lock] {
		if in.during(g.Operation) && l.find(g.Token, acquired) == nil {
			found = append(found, in.event(acquired, g.Owner, g.Token))
		}
	}
	return found
}

func (j *judge) endedIn(lock string, l *eventLog, in gap) (found []*logged) {
	for _, op := range j.ends[lock] {
		kind := endOfKind[op.Kind]
		if op.Outcome == history.OK && in.during(op) && l.find(op.Token, kind) == nil {
			found = append(found, in.event(kind, "", op.Token))
		}
	}
	return found
}

// expiredIn are the grants that ended in the gap although nobody ended them.
func (j *judge) expiredIn(lock string, l *eventLog, in gap, found []*logged) (over []*logged) {
	there := map[int64]bool{}
	maps.Copy(there, in.were)
	for _, e := range found {
		there[e.Token] = true
	}
	ended := maps.Clone(in.are) // or not yet
	for _, e := range found {
		ended[e.Token] = ended[e.Token] || e.Type != acquired
	}
	for _, op := range j.ends[lock] {
		ended[op.Token] = ended[op.Token] || op.Outcome == history.Unknown // it may have been that
	}
	for _, token := range slices.Sorted(maps.Keys(there)) {
		known := l.find(token, released) != nil || l.find(token, evicted) != nil || l.find(token, expired) != nil
		if !ended[token] && !known {
			over = append(over, in.event(expired, "", token))
		}
	}
	return over
}
