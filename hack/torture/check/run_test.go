//go:build linux

/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package check

import (
	"slices"
	"testing"

	"github.com/mongolock/operator/hack/torture/history"
	"github.com/mongolock/operator/hack/torture/plan"
)

// busy is a history with so many operations in each of its 20 seconds.
func busy(perSecond func(second int) int) *story {
	s := newStory()
	for second := range 20 {
		for i := range perSecond(second) {
			s.op(history.Get, 1000*second+i, 1000*second+i+1, nil)
		}
	}
	return s
}

func TestFloor(t *testing.T) {
	judge := func(s *story) Verdict { return Judge(&s.History, Rules{Floor: 100, Patience: 1e9}) }
	steady := judge(busy(func(int) int { return 120 }))
	if steady.MinOpsPerSecond != 120 || steady.OpsPerSecond != 120 || steady.Operations != 2400 || len(steady.Violations) > 0 {
		t.Errorf("120 a second: %+v", steady)
	}
	slow := func(second int) int {
		if second < 10 {
			return 50
		}
		return 200
	}
	if v := judge(busy(slow)); v.MinOpsPerSecond != 50 || v.OpsPerSecond != 125 || len(v.Violations) != 1 || v.Violations[0].Check != "floor" {
		t.Errorf("half of it slow: %+v", v)
	}
	s := busy(slow)
	s.fault(history.Fault{Kind: plan.Database, Worker: -1, Hits: 1}, 0, 7999)
	if v := judge(s); v.MinOpsPerSecond != 200 || len(v.Violations) > 0 {
		t.Errorf("slow because of an outage: %+v", v)
	}
}

func TestFaults(t *testing.T) {
	s := newStory()
	names := func(rules Rules) int { return len(Judge(&s.History, rules).Violations) }
	if n := names(Rules{Faults: []string{plan.Reset}}); n != 0 {
		t.Errorf("%d violations though it fired", n)
	}
	if n := names(Rules{Faults: []string{plan.Reset, plan.Kill}}); n != 1 {
		t.Errorf("%d violations, want one: no kill fired", n)
	}
	s.Faults[0].Hits = 0
	if n := names(Rules{Faults: []string{plan.Reset}}); n != 1 {
		t.Errorf("%d violations, want one: the reset hit nothing", n)
	}
	s.Faults = nil
	s.expect(t, "faults")
}

func TestLeftovers(t *testing.T) {
	for name, change := range map[string]func(*history.History){
		"a document":            func(h *history.History) { h.Leftovers = []history.Leftover{{What: "a document"}} },
		"a socket":              func(h *history.History) { h.Exits[0].Sockets = 1 },
		"a goroutine":           func(h *history.History) { h.Exits[0].Goroutines = "goroutine 7" },
		"an error":              func(h *history.History) { h.Exits[0].Error = "cannot close" },
		"a worker that crashed": func(h *history.History) { h.Exits = h.Exits[1:] },
	} {
		t.Run(name, func(t *testing.T) {
			s := newStory()
			change(&s.History)
			s.expect(t, "leftovers")
		})
	}
	s := newStory()
	s.Exits, s.Processes[0].Killed = s.Exits[1:], at(30) // one that was killed tells nothing
	s.expect(t)
}

func TestViolationsAreCapped(t *testing.T) {
	s := newStory()
	for range 3 * listed {
		s.Leftovers = append(s.Leftovers, history.Leftover{What: "rubbish"})
	}
	v := Judge(&s.History, Rules{Patience: 1e9}).Violations
	more := func(v Violation) bool { return v.Check == "leftovers" && v.Text == "and 40 more" }
	if len(v) != listed+1 || !slices.ContainsFunc(v, more) {
		t.Errorf("%d violations, want %d and how many more", len(v), listed)
	}
}
