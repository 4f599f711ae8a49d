/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package mongolock

import (
	"slices"
	"time"
)

// What the pipelines do to a lock, said once more in plain Go: the model that server_model_test.go compares a server with. Purge times
// are not part of it.

// try is an acquire: the lock is granted now, or nothing is changed.
func (d *document) try(a acquisition, now time.Time) {
	own, held := d.grant(a.holderID)
	if held && (a.mode == modeExclusive || own.ExpiresAt.After(now)) {
		return // a repeated send
	}
	queue := d.queue(now, a.holderID)
	if !slices.ContainsFunc(queue, func(w waiterDoc) bool { return w.ID == a.holderID }) {
		if a.barge {
			queue = nil
		}
		if len(queue) >= MaxWaiters {
			return
		}
		queue = append(queue, a.entry(now))
	}
	if d.room(d.holders(now), queue) < len(queue) {
		return
	}
	d.drop(now, EventExpired, "", nobody)
	if !a.barge {
		d.State.Waiters = nil
	}
	for _, w := range queue {
		d.admit(w, now, w.ID == a.holderID)
	}
}

// join is a queue command: it takes a place, refreshes it, or confirms a hand-over.
func (d *document) join(a acquisition, now time.Time) {
	own, held := d.grant(a.holderID)
	live := held && own.ExpiresAt.After(now)
	place := d.queued(a.holderID)
	switch queue := d.queue(now, a.holderID); {
	case live && own.Pending:
		own.Pending, own.ExpiresAt = false, now.Add(time.Duration(own.Lease)*time.Millisecond)
		d.State.Holders[slices.IndexFunc(d.State.Holders, func(h holder) bool { return h.ID == a.holderID })] = own
	case live:
	case place >= 0:
		d.State.Waiters[place].ExpiresAt = now.Add(waiterLease)
	case len(queue) < MaxWaiters:
		d.State.Waiters = append(queue, a.entry(now))
		if !held {
			d.State.ChangedAt = now
		}
	default:
		return // full
	}
	d.drop(now, EventExpired, "", nobody)
	d.handOverTo(now, a.holderID)
}

func (a acquisition) entry(now time.Time) waiterDoc {
	return waiterDoc{
		ID: a.holderID, Owner: a.owner, Mode: a.mode, Lease: a.leaseMS, Since: now, ExpiresAt: now.Add(waiterLease), Meta: a.meta,
	}
}

// queued is the place of a waiter, -1 if it has none.
func (d *document) queued(id string) int {
	return slices.IndexFunc(d.State.Waiters, func(w waiterDoc) bool { return w.ID == id })
}

// queue are the waiters who are alive; the one that asks is.
func (d *document) queue(now time.Time, asks string) []waiterDoc {
	return slices.DeleteFunc(slices.Clone(d.State.Waiters), func(w waiterDoc) bool { return w.ID != asks && !w.ExpiresAt.After(now) })
}

// holders are those whose leases go on.
func (d *document) holders(now time.Time) []holder {
	return slices.DeleteFunc(slices.Clone(d.State.Holders), func(h holder) bool { return !h.ExpiresAt.After(now) })
}

// ends is when the first lease ends; zero if there is none.
func (d *document) ends() time.Time {
	var first time.Time
	for _, h := range d.State.Holders {
		if first.IsZero() || h.ExpiresAt.Before(first) {
			first = h.ExpiresAt
		}
	}
	return first
}

// room is how many of a queue, from its head, are granted the lock.
func (d *document) room(held []holder, queue []waiterDoc) int {
	alone := len(held) > 0 && held[0].Mode == modeExclusive
	for i, w := range queue {
		n := len(held) + i
		if d.Policy.Suspended || alone || n >= int(d.Policy.Capacity) || w.Mode == modeExclusive && n > 0 {
			return i
		}
		alone = w.Mode == modeExclusive
	}
	return len(queue)
}

// moves tells whether something is to be done though nobody asks for anything.
func (d *document) moves(now time.Time) bool {
	live := d.holders(now)
	return len(live) < len(d.State.Holders) || d.room(live, d.queue(now, "")) > 0
}

func nobody(holder) bool { return false }

// drop takes out the holders that match and those whose leases are over.
func (d *document) drop(now time.Time, what EventType, reason string, match func(holder) bool) {
	d.State.Holders = slices.DeleteFunc(d.State.Holders, func(h holder) bool {
		switch live := h.ExpiresAt.After(now); {
		case !live:
			d.record(event{Type: string(EventExpired), Owner: h.Owner, Token: h.Token, At: h.ExpiresAt}, now)
		case match(h):
			d.record(event{Type: string(what), Owner: h.Owner, Token: h.Token, At: now, Reason: reason}, now)
		default:
			return false
		}
		return true
	})
}

// handOver grants the lock to as many of the waiters as there is room for, and takes out those who are dead.
func (d *document) handOver(now time.Time) { d.handOverTo(now, "") }

func (d *document) handOverTo(now time.Time, asks string) {
	queue := d.queue(now, asks)
	n := d.room(d.State.Holders, queue)
	d.State.Waiters = queue[n:]
	for _, w := range queue[:n] {
		d.admit(w, now, w.ID == asks)
	}
}

// admit grants the lock. Who does not know of it has to confirm.
func (d *document) admit(w waiterDoc, now time.Time, knows bool) {
	lease := min(time.Duration(w.Lease)*time.Millisecond, time.Duration(d.Policy.MaxLease)*time.Millisecond)
	until := lease
	if !knows {
		until = min(lease, confirmTime)
	}
	d.State.Fence = max(d.State.Fence+1, now.UnixMilli())
	d.State.Grants++
	d.State.Holders = append(d.State.Holders, holder{
		ID: w.ID, Owner: w.Owner, Mode: w.Mode, Token: d.State.Fence, Lease: lease.Milliseconds(),
		AcquiredAt: now, ExpiresAt: now.Add(until), Meta: w.Meta, Pending: !knows,
	})
	d.record(event{Type: string(EventAcquired), Owner: w.Owner, Token: d.State.Fence, At: now}, now)
}

// record adds to the ring.
func (d *document) record(e event, now time.Time) {
	d.State.Seq++
	e.Seq = d.State.Seq
	d.State.ChangedAt = now
	d.State.Events = append(d.State.Events, e)
	d.State.Events = d.State.Events[max(0, len(d.State.Events)-ringSize):]
}

// at is a copy of the document, as a reply at this time.
func (d *document) at(now time.Time) document {
	c := *d
	c.Now = now
	c.State.Holders, c.State.Waiters, c.State.Events = slices.Clone(d.State.Holders), slices.Clone(d.State.Waiters), slices.Clone(d.State.Events)
	return c
}
