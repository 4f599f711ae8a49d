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
)

// queue is a lock with a holder, token 1, and two waiters, of which the second is granted it, token 2.
func queue() (s *story, first, second history.Operation) {
	s = newStory()
	s.look(0, nil)
	a := s.grant(2, 5, 1)
	first = *s.op(history.Wait, 10, 900, func(op *history.Operation) { op.Outcome = history.Refused })
	second = s.grant(20, 200, 2)
	s.unlock(a, 100, 110)
	s.look(50, func(l *history.Look) {
		l.Holders = []history.Holder{{ID: "a", Owner: a.Owner, Token: 1, AcquiredAt: 3, ExpiresAt: 1000}}
		l.Waiters = []history.Waiter{{ID: "1", Owner: first.Owner, Since: 11, ExpiresAt: 5000}, {ID: "2", Owner: second.Owner, Since: 21, ExpiresAt: 5000}}
	}, event(acquired, a))
	s.look(150, func(l *history.Look) {
		l.Holders = []history.Holder{{ID: "2", Owner: second.Owner, Token: 2, AcquiredAt: 105, ExpiresAt: 1100}}
		l.Waiters = []history.Waiter{{ID: "1", Owner: first.Owner, Since: 11, ExpiresAt: 5000}}
	}, event(released, a), event(acquired, second))
	return s, first, second
}

func TestFIFO(t *testing.T) {
	s, _, _ := queue()
	s.expectAudited(t, "fifo")

	// It was granted the lock later between the same two looks.
	later := func(outcome history.Outcome) *story {
		s, first, _ := queue()
		for i := range s.Operations {
			if op := &s.Operations[i]; op.ID == first.ID {
				op.Outcome, op.Token, op.Lease = outcome, 3, testLease
				op.Deadline = op.Call.Add(testLease * 9 / 10)
			}
		}
		s.Looks[2].Waiters = nil
		s.Looks[2].Holders = nil
		s.Looks[2].Events = append(s.Looks[2].Events,
			history.Event{Seq: 4, Type: released, Owner: "2", Token: 2}, history.Event{Seq: 5, Type: acquired, Owner: first.Owner, Token: 3})
		s.Looks[2].Seq = 5
		return s
	}
	if got := later(history.OK).judge(true); !slices.Contains(got, "fifo") {
		t.Errorf("the checks found %q, and not that it was overtaken", got)
	}
	if got := later(history.Refused).judge(true); slices.Contains(got, "fifo") {
		t.Errorf("the checks found %q of one that had given up", got)
	}

	s, _, _ = queue()
	s.Looks[1].Waiters[0].ExpiresAt = 100 // dead when the lock was handed over
	s.expectAudited(t)

	s, _, _ = queue()
	s.Looks[2].Waiters[0].Since = 120 // it had left, and came back
	s.expectAudited(t)

	s, _, _ = queue()
	w := s.Looks[1].Waiters
	w[0], w[1] = w[1], w[0] // the order of the queue counts
	s.expectAudited(t)

	s, _, _ = queue()
	s.Looks[1].Waiters = s.Looks[1].Waiters[:1] // it did not stand in the queue at all
	s.expectAudited(t, "fifo")
	for i := range s.Operations {
		s.Operations[i].Barge = s.Operations[i].Token == 2
	}
	s.expectAudited(t)
}
