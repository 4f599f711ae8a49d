//go:build linux

/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package check

import (
	"errors"
	"slices"
	"sort"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/mongolock/operator/hack/torture/history"
)

// lasting is how long after its last known deadline a grant may still be shown: the leases of a run are short, and the server's clock
// goes back by no more than a minute.
const lasting = 90 * time.Second

// smallPatience is for one part of a history when a small one is looked for.
const smallPatience = 10 * time.Second

// linearizability checks that each lock's history is one that a lock could have had which does one thing at a time, each between its call
// and its return. Leases end by time: what may have ended by a call's return may be gone for it.
func (j *judge) linearizability() {
	for _, lock := range j.locks {
		calls, m := j.model(lock)
		if len(calls) == 0 {
			continue
		}
		result := porcupine.CheckOperationsTimeout(m.porcupine(), calls, j.rules.Patience)
		j.verdict.Checked["linearizability"] += len(calls)
		j.verdict.Linearizable[lock] = result == porcupine.Ok
		switch result {
		case porcupine.Ok:
		case porcupine.Unknown:
			j.violated("linearizability", lock, j.h.Begin, j.h.End, "%d operations could not be judged within %s", len(calls), j.rules.Patience)
		default:
			window := m.smallest(calls)
			from, to := never, history.Stamp(0)
			for _, c := range window {
				from, to = min(from, history.Stamp(c.Call)), max(to, c.Input.(*call).returned)
			}
			j.violated("linearizability", lock, from, min(to, j.h.End), "%d operations fit no order: see the picture", len(window))
		}
	}
}

// Draw draws the window of a violation of linearizability.
func Draw(h *history.History, rules Rules, v Violation, path string) error {
	j := newJudge(h, rules)
	if rules.Audited {
		j.claims()
	}
	calls, m := j.model(v.Lock)
	window := m.smallest(calls)
	part := m.within(window)
	result, info := porcupine.CheckOperationsVerbose(part.porcupine(), window, rules.Patience)
	if result != porcupine.Illegal {
		return errors.New("no part of the history without a linearization was found in time: there is nothing to draw")
	}
	return porcupine.VisualizePath(part.porcupine(), info, path)
}

// model makes the calls of a lock's model from its history.
func (j *judge) model(lock string) ([]porcupine.Operation, *model) {
	m := &model{
		capacity: max(1, j.rules.Capacity[lock]), expired: map[int64]history.Stamp{}, forget: map[int64]history.Stamp{},
		known: map[int64]bool{}, complete: j.log[lock].complete(),
	}
	for _, g := range j.grants[lock] {
		m.expired[g.Token], m.forget[g.Token] = g.expired(), g.deadline.Add(lasting)
	}
	calls := &calls{}
	for i := range j.h.Operations {
		if op := &j.h.Operations[i]; op.Lock == lock {
			j.put(op, calls)
		}
	}
	if l := j.log[lock]; l != nil {
		for _, e := range l.events {
			j.putEvent(e, l, m, calls)
		}
	}
	for _, c := range calls.operations {
		if in := c.Input.(*call); in.do == doAcquire {
			m.known[in.token] = true
		}
	}
	return calls.operations, m
}

// calls are those of one lock. Each is of a client of its own, as a lock does not know who asks.
type calls struct{ operations []porcupine.Operation }

func (cs *calls) put(c *call, from, to history.Stamp) {
	c.returned = to
	cs.operations = append(cs.operations, porcupine.Operation{ClientId: len(cs.operations), Input: c, Call: int64(from), Return: int64(to)})
}

// put adds an operation to the calls, if it tells anything. Its interval is narrowed to when the auditor saw it happen.
func (j *judge) put(op *history.Operation, calls *calls) {
	l := j.log[op.Lock]
	from, to := op.Call, op.Return
	switch {
	case acquires(op.Kind) && op.Outcome == history.OK:
		if e := l.find(op.Token, acquired); e != nil && e.before < to && e.to > from {
			from, to = max(from, e.before), min(to, e.to)
		}
		calls.put(&call{id: op.ID, do: doAcquire, token: op.Token, shared: op.Shared}, from, to)
	case op.Kind == history.Try && op.Outcome == history.Refused && op.Token != 0 && j.rules.Audited:
		calls.put(&call{id: op.ID, do: doName, token: op.Token}, from, to)
	case op.Kind == history.Get && op.Outcome == history.OK:
		calls.put(&call{id: op.ID, do: doShow, tokens: op.Tokens}, from, to)
	case op.Kind == history.Unlock || op.Kind == history.Evict:
		l.putEnd(op, calls)
	}
}

// putEnd adds a release or an eviction. What became of one whose caller was not told, the log tells, if it is complete.
func (l *eventLog) putEnd(op *history.Operation, calls *calls) {
	switch {
	case op.Outcome == history.OK:
		calls.put(&call{id: op.ID, do: doRelease, token: op.Token}, op.Call, op.Return)
	case op.Kind == history.Unlock || op.Outcome == history.Unknown && !l.complete():
		calls.put(&call{id: op.ID, do: doDoubt, token: op.Token}, op.Call, never)
	}
}

// putEvent adds what happened and nobody was told: a grant that nobody claims, and a release or an eviction whose caller does not know.
func (j *judge) putEvent(e *logged, l *eventLog, m *model, calls *calls) {
	switch {
	case e.claimed || e.Type != acquired && e.Type != released && e.Type != evicted:
	case e.Type != acquired:
		calls.put(&call{id: "event", do: doRelease, token: e.Token}, e.before, e.to)
	case e.by != nil:
		shared, seen := l.shared[e.Token]
		if !seen { // between two looks; of those who share a name, any may have been it
			shared = e.by.Shared || m.capacity > 1 && len(j.byOwner[e.Owner]) > 1
		}
		m.forget[e.Token] = e.to.Add(lasting)
		calls.put(&call{id: e.by.ID, do: doAcquire, token: e.Token, shared: shared, doubtful: true}, max(e.called, e.before), max(e.called, e.to))
	}
}

// smallest finds a small part of a history without a linearization that has none either: the shortest beginning of it, and of that the
// shortest end.
func (m *model) smallest(calls []porcupine.Operation) []porcupine.Operation {
	ends := make([]int64, 0, len(calls))
	for _, c := range calls {
		ends = append(ends, c.Return)
	}
	slices.Sort(ends)
	fails := func(part []porcupine.Operation) bool { // one that takes too long is not small
		return porcupine.CheckOperationsTimeout(m.within(part).porcupine(), part, smallPatience) == porcupine.Illegal
	}
	n := sort.Search(len(ends), func(i int) bool { return fails(until(calls, ends[i])) })
	if n == len(ends) {
		return calls
	}
	calls = until(calls, ends[n])
	slices.SortFunc(calls, func(a, b porcupine.Operation) int { return int(a.Call - b.Call) })
	n = sort.Search(len(calls), func(i int) bool { return !fails(calls[i:]) })
	return calls[max(0, n-1):]
}

// until is what had returned by a time, and all endings that had been called, as they may explain what had returned.
func until(calls []porcupine.Operation, end int64) []porcupine.Operation {
	var part []porcupine.Operation
	for _, c := range calls {
		if do := c.Input.(*call).do; c.Return <= end || c.Call <= end && (do == doRelease || do == doDoubt) {
			part = append(part, c)
		}
	}
	return part
}

// within is the model of a part of the history: other tokens may have been there before, but none that the whole does not know.
func (m *model) within(part []porcupine.Operation) *model {
	n := &model{capacity: m.capacity, expired: m.expired, forget: m.forget, known: map[int64]bool{}, whole: m}
	for _, c := range part {
		if in := c.Input.(*call); in.do == doAcquire {
			n.known[in.token] = true
		}
	}
	return n
}
