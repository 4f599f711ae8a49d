//go:build linux

/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package check

import (
	"slices"

	"github.com/mongolock/operator/hack/torture/history"
)

// gap is some events that neither the auditor nor a watcher saw: more happened between two looks than a document keeps. How many they are
// their numbers tell.
type gap struct {
	before, to history.Stamp
	begun      history.Stamp // after which the document was made
	missing    int64
}

// closeGaps finds out what happened in gaps by what callers were told: each grant and each end that succeeded has an event, and a grant of
// an exclusive lock that nobody ended, and after which there was another of the same document, has expired. If they are as many as the missing
// events, they are taken for those, and whatever else was asked for meanwhile for not carried out.
func (j *judge) closeGaps(lock string, l *eventLog) {
	var open []gap
	for _, g := range l.open {
		found := j.grantedIn(lock, l, g)
		found = append(found, j.endedIn(lock, l, g)...)
		if int64(len(found)) < g.missing && j.rules.Capacity[lock] <= 1 {
			found = append(found, j.expiredIn(lock, l, g, found)...)
		}
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

// expiredIn are the grants of an exclusive lock that ended in the gap although nobody ended them.
func (j *judge) expiredIn(lock string, l *eventLog, in gap, found []*logged) (over []*logged) {
	ended := map[int64]bool{}
	granted := map[int64]*logged{}
	last := int64(0)
	for _, op := range j.ends[lock] {
		ended[op.Token] = ended[op.Token] || op.Outcome == history.Unknown // it may have been that
	}
	for _, e := range append(append([]*logged{}, l.events...), found...) {
		if e.Type == acquired {
			granted[e.Token] = e
			last = max(last, e.Token)
		} else {
			ended[e.Token] = true
		}
	}
	for token, e := range granted {
		if !ended[token] && token < last && e.before <= in.to && e.to > in.begun {
			over = append(over, in.event(expired, e.Owner, token))
		}
	}
	return over
}
