//go:build linux

/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package check

import (
	"slices"
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
	for i, e := range look.Events {
		if e.Type != acquired || !j.queues(e.Owner) {
			continue
		}
		for _, before := range last.Waiters {
			if before.Owner == e.Owner {
				break
			}
			j.looked("fifo")
			w, still := waits[before.ID]
			still = still && w.Since == before.Since || j.grantedOnlyAfter(look.Events, i, before.Owner)
			if still && before.ExpiresAt > grantedAt(look, e) {
				j.violated("fifo", lock, last.From, look.To, "%q was granted token %d before %q, who stood before it", e.Owner, e.Token, before.Owner)
			}
		}
	}
}

// grantedOnlyAfter tells whether an owner, who is no twin and took what it was granted, was granted the lock after the event of that index,
// and not before. Who gave up may have left the queue, and a late send may have put it back at the end.
func (j *judge) grantedOnlyAfter(events []history.Event, i int, owner string) bool {
	grants := func(e history.Event) bool { return e.Type == acquired && e.Owner == owner }
	operations := j.byOwner[owner]
	return len(operations) == 1 && operations[0].Outcome == history.OK && !slices.ContainsFunc(events[:i], grants) && slices.ContainsFunc(events[i:], grants)
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
