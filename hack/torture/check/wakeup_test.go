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

	s = sleeper(6300)
	s.fault(history.Fault{Kind: plan.Database, Worker: -1, Hits: 1}, 0, 200) // that was long ago
	s.expectAudited(t, "wakeup")

	s = sleeper(2300)
	s.fault(history.Fault{Kind: plan.Feed, Worker: -1, Hits: 1}, 50, 3000) // the retry period is promised without it
	s.expectAudited(t, "wakeup")

	s = sleeper(2300)
	s.Looks[12].Holders = []history.Holder{{ID: "h", Owner: "h", Token: 1, ExpiresAt: 5000}} // it was held in between
	s.expectAudited(t)
}

// TestGrantThatPassed: a waiter that is handed the lock takes it, if nothing keeps it from that.
func TestGrantThatPassed(t *testing.T) {
	passed := func() *story {
		s := newStory()
		s.look(0, nil)
		waiter := *s.op(history.Wait, 10, 9000, func(op *history.Operation) { op.Outcome, op.Worker = history.Refused, 1 })
		waiter.Token = 5
		s.look(5000, nil, event(acquired, waiter))
		s.look(7200, nil, event(expired, waiter))
		return s
	}
	passed().expectAudited(t, "wakeup")

	s := passed()
	s.fault(history.Fault{Kind: plan.Pause, Worker: 1, Hits: 1}, 4000, 6000)
	s.expectAudited(t)

	s = passed()
	s.Operations[0].Return = at(7000) // it had given up
	s.expectAudited(t)
}
