//go:build linux

/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package check

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/mongolock/operator/hack/torture/history"
	"github.com/mongolock/operator/hack/torture/plan"
)

// story is a hand-made history of one lock. Times are milliseconds after its begin.
type story struct {
	history.History
	lock string
	seq  int64
	last history.Stamp // of the last look
}

const (
	testLease = time.Second
	zero      = history.Stamp(1_000_000_000_000)
)

func at(ms int) history.Stamp { return zero.Add(time.Duration(ms) * time.Millisecond) }

func newStory() *story {
	s := &story{lock: "x"}
	s.Begin, s.End = at(0), at(20_000)
	s.Processes = []history.Process{{Worker: 0, Incarnation: 1, Started: at(0)}, {Worker: 1, Incarnation: 1, Started: at(0)}}
	s.Exits = []history.Exit{{Worker: 0, Incarnation: 1, At: at(25_000)}, {Worker: 1, Incarnation: 1, At: at(25_000)}}
	s.fault(history.Fault{Kind: plan.Reset, Worker: 7, Hits: 1}, 19_000, 19_001)
	return s
}

func (s *story) op(kind history.Kind, call, ret int, change func(*history.Operation)) *history.Operation {
	op := history.Operation{
		ID: fmt.Sprintf("o%d", len(s.Operations)), Incarnation: 1, Kind: kind, Lock: s.lock, Call: at(call), Return: at(ret), Outcome: history.OK,
	}
	if acquires(kind) {
		op.Owner, op.Lease, op.Margin = op.ID, testLease, testLease/10
		op.Deadline = at(call).Add(testLease - testLease/10)
	}
	if change != nil {
		change(&op)
	}
	s.Operations = append(s.Operations, op)
	return &s.Operations[len(s.Operations)-1]
}

// grant is an acquisition that succeeds between the times given.
func (s *story) grant(call, ret int, token int64) history.Operation {
	return *s.op(history.Wait, call, ret, func(op *history.Operation) { op.Token = token })
}

func (s *story) shared(call, ret int, token int64) history.Operation {
	return *s.op(history.Wait, call, ret, func(op *history.Operation) { op.Token, op.Shared = token, true })
}

func (s *story) unlock(of history.Operation, call, ret int) {
	s.op(history.Unlock, call, ret, func(op *history.Operation) { op.Token, op.Grant = of.Token, of.ID })
}

func (s *story) believes(of history.Operation, ms int, held bool, deadline int) {
	s.Beliefs = append(s.Beliefs, history.Belief{Grant: of.ID, At: at(ms), Held: held, Deadline: at(deadline)})
}

func (s *story) fault(f history.Fault, from, until int) {
	f.From, f.Until = at(from), at(until)
	s.Faults = append(s.Faults, f)
}

// look is what the auditor sees at a time, with the events that are new.
func (s *story) look(ms int, change func(*history.Look), events ...history.Event) {
	for i := range events {
		s.seq++
		events[i].Seq = s.seq
	}
	l := history.Look{
		Lock: s.lock, Before: s.last, From: at(ms), To: at(ms + 1), Exists: true, Now: int64(ms), Seq: s.seq, Events: events,
	}
	if change != nil {
		change(&l)
	}
	s.Looks = append(s.Looks, l)
	s.last = l.From
}

func event(kind string, of history.Operation) history.Event {
	return history.Event{Type: kind, Owner: of.Owner, Token: of.Token}
}

// judge sorts the history as reading it does, and returns what the checks found: their names, each once.
func (s *story) judge(audited bool) []string {
	h := s.History
	h.Operations = slices.Clone(h.Operations)
	for _, op := range h.Operations { // holders are told in time, if the story does not say otherwise
		if acquires(op.Kind) && op.Outcome == history.OK && len(s.Told) == 0 {
			h.Told = append(h.Told, history.Told{Grant: op.ID, At: op.Deadline})
		}
	}
	for _, c := range h.Changes {
		if len(h.Watches) == 0 {
			h.Watches = []history.Watch{{Watcher: c.Watcher, Locks: []string{s.lock}}}
		}
	}
	slices.SortStableFunc(h.Operations, func(a, b history.Operation) int { return int(a.Call - b.Call) })
	verdict := Judge(&h, Rules{
		Audited: audited, Capacity: map[string]int{"x": 1, "s": 2}, RetryPeriod: time.Second, Patience: 10 * time.Second,
	})
	var names []string
	for _, v := range verdict.Violations {
		if !slices.Contains(names, v.Check) {
			names = append(names, v.Check)
		}
	}
	slices.Sort(names)
	return names
}

// expect judges without the auditor's looks.
func (s *story) expect(t *testing.T, want ...string) {
	t.Helper()
	if got := s.judge(false); !slices.Equal(got, want) {
		t.Errorf("the checks found %q, want %q", got, want)
	}
}

func (s *story) expectAudited(t *testing.T, want ...string) {
	t.Helper()
	if got := s.judge(true); !slices.Equal(got, want) {
		t.Errorf("the checks found %q, want %q", got, want)
	}
}
