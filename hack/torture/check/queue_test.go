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

// sleeper is a lock that nobody holds, with a waiter before it for so long.
func sleeper(until int) *story {
	s := newStory()
	s.look(0, nil)
	waiter := *s.op(history.Wait, 10, until+50, func(op *history.Operation) { op.Outcome, op.Worker = history.Refused, 1 })
	for ms := 100; ms <= until; ms += 100 {
		s.look(ms, func(l *history.Look) {
			l.Waiters = []history.Waiter{{ID: "1", Owner: waiter.Owner, Since: 11, ExpiresAt: 50_000}}
		})
	}
	return s
}

func TestWakeups(t *testing.T) {
	sleeper(2000).expectAudited(t)
	sleeper(2300).expectAudited(t, "wakeup")

	s := sleeper(2300)
	s.fault(history.Fault{Kind: plan.Blackhole, Worker: 1, Hits: 1}, 500, 2000)
	s.expectAudited(t)

	s = sleeper(2300)
	s.fault(history.Fault{Kind: plan.Blackhole, Worker: 0, Hits: 1}, 500, 2000) // another's trouble is no excuse
	s.expectAudited(t, "wakeup")

	s = sleeper(2300)
	s.fault(history.Fault{Kind: plan.Database, Worker: -1, Hits: 1}, 500, 2000)
	s.expectAudited(t)

	s = sleeper(2300)
	s.Looks[12].Holders = []history.Holder{{ID: "h", Owner: "h", Token: 1, ExpiresAt: 5000}} // it was held in between
	s.expectAudited(t)
}
