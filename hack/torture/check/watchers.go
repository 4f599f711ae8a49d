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
	"strings"
	"time"

	"github.com/mongolock/operator/hack/torture/history"
	"github.com/mongolock/operator/hack/torture/plan"
)

// told is what a watcher knows of a lock.
type told struct {
	seq int64
	at  history.Stamp // when it was told
}

// ring is how many events a document keeps: who is told of less has missed none.
const ring = 16

// behind is how old the news may be that a watcher is told: it was read, and then waited for a watcher that was slow.
const behind = 10 * time.Second

// watchers checks what watchers were told: each event once, in order, the same as is stored, or how many they missed; and in the end the
// last one.
func (j *judge) watchers() {
	known := map[string]map[string]*told{} // by watcher and lock; nil: of a lock that it has not been told of
	for _, w := range j.h.Watches {
		known[w.Watcher] = map[string]*told{}
		for _, lock := range w.Locks {
			known[w.Watcher][lock] = nil
		}
	}
	for i := range j.h.Changes {
		c := &j.h.Changes[i]
		if j.log[c.Lock] == nil || known[c.Watcher] == nil {
			continue
		}
		j.looked("events")
		if t := known[c.Watcher][c.Lock]; t != nil {
			j.follows(t, c)
		}
		known[c.Watcher][c.Lock] = &told{c.Seq, c.At}
		j.stored(c)
	}
	for watcher, locks := range known {
		if !j.livedOn(watcher) {
			continue
		}
		for lock, t := range locks {
			j.last(watcher, lock, t)
		}
	}
}

// last checks that a watcher that lived until the end was told of the last event.
func (j *judge) last(watcher, lock string, t *told) {
	l := j.log[lock]
	switch {
	case l == nil || t != nil && t.seq == l.last:
	case t == nil && l.last > 0:
		j.violated("events", lock, j.h.Begin, j.h.End, "watcher %s was told nothing", watcher)
	case t != nil:
		j.violated("events", lock, j.h.End, j.h.End, "watcher %s was told of event %d last, and there are %d", watcher, t.seq, l.last)
	}
}

// follows checks that a change continues where the watcher's knowledge ends, or begins anew if the document did.
func (j *judge) follows(t *told, c *history.Change) {
	if !c.Exists {
		if !j.deleted(c.Lock, t.at.Add(-behind), c.At) {
			j.violated("events", c.Lock, t.at, c.At, "watcher %s was told that it is gone", c.Watcher)
		}
		return
	}
	if c.Missed > 0 && len(c.Events) < ring {
		j.violated("events", c.Lock, t.at, c.At, "watcher %s missed %d events, and was told of %d: a lock keeps %d", c.Watcher, c.Missed, len(c.Events), ring)
	}
	deleted := j.deleted(c.Lock, t.at.Add(-behind), c.At)
	next := t.seq
	if len(c.Events) > 0 && c.Events[0].Seq != next+1+c.Missed || len(c.Events) == 0 && c.Seq < next {
		if c.Missed == 0 && len(c.Events) > 0 && c.Events[0].Seq != 1 || !deleted {
			j.violated("events", c.Lock, t.at, c.At, "watcher %s was told of events from %d on, %d missed, after event %d", c.Watcher, firstSeq(c), c.Missed, t.seq)
			return
		}
		next = firstSeq(c) - 1 - c.Missed
	}
	j.inOrder(t, c, next+c.Missed, deleted)
}

// inOrder checks the events of a change, the first of which comes after last.
func (j *judge) inOrder(t *told, c *history.Change, last int64, deleted bool) {
	for _, e := range c.Events {
		last++
		if e.Seq == 1 && deleted { // the last of one document and the first of the next may be told together
			last = 1
		}
		if e.Seq != last {
			j.violated("events", c.Lock, t.at, c.At, "watcher %s was told of event %d instead of %d", c.Watcher, e.Seq, last)
			return
		}
	}
	if c.Seq != last {
		j.violated("events", c.Lock, t.at, c.At, "watcher %s was told of events up to %d of %d", c.Watcher, last, c.Seq)
	}
}

func firstSeq(c *history.Change) int64 {
	if len(c.Events) == 0 {
		return c.Seq + 1
	}
	return c.Events[0].Seq
}

// deleted tells whether the lock's document was deleted, or replaced for a while.
func (j *judge) deleted(lock string, from, to history.Stamp) bool {
	return slices.ContainsFunc(j.h.Faults, func(f history.Fault) bool {
		return plan.OnDocument(f.Kind) && f.Hits > 0 && f.Lock == lock && f.From <= to && f.Until >= from
	})
}

// stored checks that the events of a change are those that are stored.
func (j *judge) stored(c *history.Change) {
	l := j.log[c.Lock]
	for _, e := range c.Events {
		same := func(s *logged) bool { return s.Event == e }
		if !slices.ContainsFunc(l.sequence[e.Seq], same) && !l.incomplete(c.At.Add(-behind), c.At) {
			j.violated("events", c.Lock, c.At, c.At, "watcher %s was told of %+v, which is not stored", c.Watcher, e)
		}
	}
}

// livedOn tells whether a watcher lived until the end.
func (j *judge) livedOn(watcher string) bool {
	for _, e := range j.h.Exits {
		if strings.HasPrefix(watcher, fmt.Sprintf("w%d.%d-", e.Worker, e.Incarnation)) {
			return true
		}
	}
	return false
}
