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
	"github.com/mongolock/operator/hack/torture/plan"
)

// handOver is for how long a lock is held for a waiter who has not yet confirmed that it knows of its grant.
const handOver = 2 * time.Second

// wakeups checks that no waiter stands before a free lock for longer than the retry period, and that none lets a grant pass that it was
// handed, unless something keeps it from noticing.
func (j *judge) wakeups() {
	for lock, looks := range j.looks {
		var since *idle
		for _, look := range looks {
			head, free := freeFor(look)
			switch {
			case !free:
				since = nil
			case since == nil || since.waiter.ID != head.ID:
				since = &idle{waiter: head, from: look.To}
			default:
				j.slept(lock, since, look.From)
			}
			for _, e := range look.Events {
				j.letPass(look, e)
			}
		}
	}
}

// idle is a time in which a waiter stood before a free lock.
type idle struct {
	waiter history.Waiter
	from   history.Stamp
}

// slept judges a time in which a waiter stood before a free lock.
func (j *judge) slept(lock string, since *idle, until history.Stamp) {
	worker := -1
	if operations := j.byOwner[since.waiter.Owner]; len(operations) == 1 {
		worker = operations[0].Worker
		if j.killed(operations[0]) <= until { // its place in the queue outlives it for a while
			return
		}
	}
	from := max(since.from, j.undisturbed(until, lock, worker))
	if from >= until {
		return
	}
	j.looked("wakeup")
	if slept := until.Sub(from); slept > j.rules.RetryPeriod+late {
		j.violated("wakeup", lock, from, until, "%q waited %s for a lock that was free", since.waiter.Owner, slept)
	}
}

// letPass judges what happened to a lock that was handed to a waiter: it must be confirmed before that ends.
func (j *judge) letPass(look *history.Look, e history.Event) {
	if e.Type != acquired && e.Type != expired || !j.queues(e.Owner) {
		return
	}
	op := j.byOwner[e.Owner][0]
	if op.Kind != history.Wait {
		return
	}
	j.looked("wakeup")
	if e.Type == acquired || op.Outcome == history.OK && op.Token == e.Token {
		return // confirmed later, if it was not at once
	}
	begun := look.Before.Add(-handOver)
	if op.Return != 0 && op.Return < look.To || op.Call > begun || j.killed(op) <= look.To || j.undisturbed(look.To, look.Lock, op.Worker) > begun {
		return // it had given up, or could not know
	}
	j.violated("wakeup", look.Lock, begun, look.To, "%q waited, and let token %d pass that it was handed", e.Owner, e.Token)
}

// undisturbed is since when nothing has kept a waiter from noticing: no fault of the server, of the document or of its process. That the
// feed is down is no excuse: the retry period is promised without it.
func (j *judge) undisturbed(until history.Stamp, lock string, worker int) history.Stamp {
	since := history.Stamp(0)
	for _, f := range j.h.Faults {
		if f.Kind != plan.Feed && f.From <= until && concerns(f, lock, worker) {
			since = max(since, f.Until.Add(recovery))
		}
	}
	return since
}

// freeFor is the first live waiter of a lock that nobody holds.
func freeFor(look *history.Look) (history.Waiter, bool) {
	for _, h := range look.Holders {
		if h.ExpiresAt > look.Now {
			return history.Waiter{}, false
		}
	}
	for _, w := range look.Waiters {
		if look.Exists && w.ExpiresAt > look.Now {
			return w, true
		}
	}
	return history.Waiter{}, false
}
