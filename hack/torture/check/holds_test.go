//go:build linux

/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package check

import (
	"testing"

	"github.com/mongolock/operator/hack/torture/history"
	"github.com/mongolock/operator/hack/torture/plan"
)

func TestExclusion(t *testing.T) {
	for name, c := range map[string]struct {
		tell func(*story)
		want []string
	}{
		"one after the other": {func(s *story) {
			a := s.grant(0, 10, 1)
			s.unlock(a, 50, 60)
			b := s.grant(20, 58, 2) // granted while the release was under way
			s.unlock(b, 70, 80)
		}, nil},
		"two at a time": {func(s *story) {
			a, b := s.grant(0, 10, 1), s.grant(20, 30, 2)
			s.unlock(a, 50, 60)
			s.unlock(b, 70, 80)
		}, []string{"exclusion", "linearizability"}},
		"after the lease of one that was killed": {func(s *story) {
			s.grant(0, 10, 1)
			s.Processes[0].Killed = at(20)
			s.grant(800, 1001, 2)
		}, nil},
		"killed, but before its lease ended": {func(s *story) {
			s.grant(0, 10, 1)
			s.Processes[0].Killed = at(20)
			s.grant(100, 110, 2)
		}, []string{"linearizability"}},
		"renewed, and taken over in spite of it": {func(s *story) {
			a := s.grant(0, 10, 1)
			s.believes(a, 500, true, 1400)
			s.believes(a, 1300, true, 1400)
			s.grant(900, 1100, 2)
		}, []string{"exclusion", "linearizability"}},
		"told of the loss": {func(s *story) {
			a := s.grant(0, 10, 1)
			s.believes(a, 500, true, 900)
			s.believes(a, 600, false, 900)
			s.grant(700, 1100, 2)
		}, nil},
		"evicted, and does not know yet": {func(s *story) {
			a := s.grant(0, 10, 1)
			s.op(history.Evict, 20, 30, func(op *history.Operation) { op.Token = a.Token })
			s.believes(a, 300, true, 900)
			b := s.grant(25, 40, 2)
			s.unlock(b, 50, 60)
		}, nil},
		"the document deleted": {func(s *story) {
			a := s.grant(0, 10, 1)
			s.fault(history.Fault{Kind: plan.Delete, Lock: "x", Worker: -1, Hits: 1}, 20, 21)
			s.believes(a, 300, true, 900)
			b := s.grant(25, 40, 2)
			s.unlock(b, 50, 60)
		}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStory()
			c.tell(s)
			s.expect(t, c.want...)
		})
	}
}

func TestCapacity(t *testing.T) {
	s := newStory()
	s.lock = "s"
	a, b := s.shared(0, 10, 1), s.shared(5, 20, 2)
	s.unlock(a, 50, 60)
	s.shared(30, 55, 3)
	s.unlock(b, 90, 95)
	s.expect(t)
	s.shared(70, 80, 4)
	s.expect(t, "capacity", "linearizability")
	s = newStory()
	s.lock = "s"
	c := s.shared(0, 10, 1)
	s.unlock(c, 50, 60)
	s.grant(20, 30, 2)
	s.expect(t, "exclusion", "linearizability")
}

func TestTokens(t *testing.T) {
	s := newStory()
	s.unlock(s.grant(0, 10, 5), 20, 30)
	s.unlock(s.grant(25, 40, 7), 50, 60)
	s.expect(t)
	s.unlock(s.grant(70, 80, 6), 90, 95)
	s.expect(t, "linearizability", "tokens")
	s = newStory()
	s.unlock(s.grant(0, 10, 5), 20, 30)
	s.unlock(s.grant(40, 50, 5), 60, 70)
	s.expect(t, "linearizability", "tokens")
}

func TestDeadlines(t *testing.T) {
	s := newStory()
	a := s.grant(0, 10, 1)
	s.believes(a, 899, true, 900)
	s.expect(t)
	s.believes(a, 901, true, 900)
	s.expect(t, "deadline")

	s = newStory()
	a = s.grant(0, 10, 1)
	s.believes(a, 500, true, 900)
	s.believes(a, 2000, false, 900)
	s.expect(t)
}

// TestDone: a holder is told at its deadline, with nothing but Done, unless its process is paused or killed.
func TestDone(t *testing.T) {
	tell := func(told ...history.Told) *story {
		s := newStory()
		s.look(0, nil)
		a := s.grant(5, 10, 1)
		s.look(1100, nil, event(acquired, a), event("expired", a))
		s.Told = []history.Told{{Grant: "another"}}
		for _, one := range told {
			one.Grant, one.Deadline = a.ID, a.Deadline
			s.Told = append(s.Told, one)
		}
		return s
	}
	tell(history.Told{At: at(905)}).expectAudited(t)
	tell(history.Told{At: at(2000)}).expectAudited(t, "deadline")
	s := tell(history.Told{At: at(2000)})
	s.fault(history.Fault{Kind: plan.Pause, Worker: 0, Hits: 1}, 600, 1999)
	s.expectAudited(t)
}

func TestRefusedWrite(t *testing.T) {
	s := newStory()
	a := s.grant(0, 10, 1)
	s.believes(a, 50, true, 900)
	s.unlock(a, 100, 110)
	s.op(history.Write, 20, 30, func(op *history.Operation) { op.Grant, op.Token, op.Outcome = a.ID, 1, history.Refused })
	s.expect(t, "resource")
	s.Operations[2].Return = at(105) // it may have been late
	s.expect(t)
}

func TestResource(t *testing.T) {
	s := newStory()
	s.unlock(s.grant(0, 10, 1), 20, 30)
	s.unlock(s.grant(40, 50, 2), 60, 70)
	s.Accepted = []history.Accepted{{Lock: "x", Token: 1, At: at(15)}, {Lock: "x", Token: 2, At: at(55)}}
	s.expect(t)
	s.Accepted = append(s.Accepted, history.Accepted{Lock: "x", Token: 1, At: at(58)})
	s.expect(t, "resource")
	s.Accepted[2] = history.Accepted{Lock: "x", Token: 3, At: at(58)}
	s.expect(t, "resource")
}
