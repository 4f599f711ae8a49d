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

// fifo checks that nobody who takes part in the queue is granted a lock before one who stood before them and is alive. The order is that of
// the queue in the document: the times in it are those at which commands began, and they are carried out in another order.
func (j *judge) fifo() {
	for lock, looks := range j.looks {
		var last *history.Look
		for _, look := range looks {
			if last != nil && look.Exists && last.Exists && !look.Anew && !j.clockMoved(look) {
				j.overtaken(lock, last, look)
			}
			last = look
		}
	}
}

// overtaken looks at those who were granted the lock since the last look: who stood before them then, or at all if they did not stand in
// the queue then, and lived, must not wait any more.
func (j *judge) overtaken(lock string, last, look *history.Look) {
	waits := map[string]history.Waiter{}
	for _, w := range look.Waiters {
		waits[w.ID] = w
	}
	for _, e := range look.Events {
		if e.Type != acquired || !j.queues(e.Owner) {
			continue
		}
		for _, before := range last.Waiters {
			if before.Owner == e.Owner {
				break
			}
			j.looked("fifo")
			w, still := waits[before.ID]
			if still && w.Since == before.Since && before.ExpiresAt > grantedAt(look, e) {
				j.violated("fifo", lock, last.From, look.To, "%q was granted token %d before %q, who stood before it", e.Owner, e.Token, w.Owner)
			}
		}
	}
}

// grantedAt is the server's time of a grant; if its holder has gone already, its token, which is not before that.
func grantedAt(look *history.Look, e history.Event) int64 {
	for _, h := range look.Holders {
		if h.Token == e.Token {
			return h.AcquiredAt
		}
	}
	return e.Token
}

// queues tells whether the owner surely takes part in the queue.
func (j *judge) queues(owner string) bool {
	operations := j.byOwner[owner]
	return len(operations) == 1 && !operations[0].Barge
}

func (j *judge) clockMoved(look *history.Look) bool {
	const patience = 10 * time.Second // nobody waits for longer
	for _, f := range j.h.Faults {
		if f.Kind == plan.Clock && f.From <= look.To && f.Until.Add(patience) >= look.From {
			return true
		}
	}
	return false
}

// idle is a time in which a waiter stood before a free lock.
type idle struct {
	waiter history.Waiter
	from   history.Stamp
}

// wakeups checks that no waiter stands before a free lock for longer than the retry period, unless something keeps it from noticing.
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
		}
	}
}

// slept judges a time in which nothing kept the waiter from noticing: no fault of the server, of its process or of the document, nor the
// death of its process, which leaves its place in the queue for a while.
func (j *judge) slept(lock string, since *idle, until history.Stamp) {
	worker := -1
	if operations := j.byOwner[since.waiter.Owner]; len(operations) == 1 {
		worker = operations[0].Worker
		if j.killed(operations[0]) <= until {
			return
		}
	}
	if j.hit(since.from.Add(-recovery), until, lock, worker) {
		return
	}
	j.looked("wakeup")
	if slept := until.Sub(since.from); slept > j.rules.RetryPeriod+late {
		j.violated("wakeup", lock, since.from, until, "%q waited %s for a lock that was free", since.waiter.Owner, slept)
	}
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
