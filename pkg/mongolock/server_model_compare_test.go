/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package mongolock

import (
	"bytes"
	"fmt"
	"slices"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// compare looks at one lock after a step.
func (m *modelTest) compare(lock string) {
	docs, err := m.real.find(m.Context(), query{ids: []string{lock}})
	model := m.fake.stored(lock)
	if err != nil || len(docs) != 1 {
		if err != nil || model.V != 0 {
			m.Errorf("lock %s: %d documents, %v; the model has %+v", lock, len(docs), err, model)
		}
		return
	}
	doc, k := &docs[0], m.known[lock]
	if got, want := picture(doc), picture(&model); got != want {
		m.Errorf("lock %s is\n%s\nthe model\n%s", lock, got, want)
		return
	}
	raw := m.server.raw(m.T, lock)
	untouched := full(model) == k.model
	if untouched && !bytes.Equal(raw, k.raw) {
		m.Errorf("lock %s was to stay as it is, but was\n%s\nand is\n%s", lock, k.raw, raw)
	}
	m.check(doc, k)
	if transition := !model.State.ChangedAt.Equal(k.modelChangedAt); !transition && !doc.State.ChangedAt.Equal(k.changedAt) {
		m.Errorf("lock %s: changedAt moved without a transition", lock)
	}
	k.changedAt, k.modelChangedAt = doc.State.ChangedAt, model.State.ChangedAt
	if untouched {
		return
	}
	m.lengthen(doc, &model)
	m.fake.put(model)
	k.raw, k.model = m.server.raw(m.T, lock), full(model)
}

// picture is what must be the same on both: all but ids, tokens and absolute times.
func picture(d *document) string {
	s := fmt.Sprintf("policy %+v, seq %d, grants %d", d.Policy, d.State.Seq, d.State.Grants)
	ends := func(at time.Time) string {
		switch left := at.Sub(d.Now); {
		case left <= 0:
			return "the past"
		case left < 2*confirmTime:
			return "the time to confirm"
		case left < waiterLease+time.Second:
			return "a waiter's time"
		default:
			return left.Round(modelLease / 3).String()
		}
	}
	for _, h := range d.State.Holders {
		s += fmt.Sprintf("\nholder %s %s %s, lease %d, ends in %s, rev %d, pending %t, %v", h.ID, h.Owner, h.Mode, h.Lease, ends(h.ExpiresAt),
			h.Rev, h.Pending, h.Meta)
	}
	for _, w := range d.State.Waiters {
		s += fmt.Sprintf("\nwaiter %s %s %s, lease %d, ends in %s, %v", w.ID, w.Owner, w.Mode, w.Lease, ends(w.ExpiresAt), w.Meta)
	}
	for _, e := range d.State.Events {
		s += fmt.Sprintf("\nevent %d %s %s %q", e.Seq, e.Type, e.Owner, e.Reason)
	}
	return s
}

// full is all of a document but the time of reading.
func full(d document) string { return fmt.Sprintf("%+v %+v", d.Policy, d.State) }

// check is for what is always true of a lock, whatever the model says.
func (m *modelTest) check(d *document, k *knownLock) {
	fail := func(what string) { m.Errorf("lock %s: %s: %+v", d.ID, what, *d) }
	seen := map[string]bool{}
	entry := func(id string) {
		if seen[id] {
			fail("two entries of " + id)
		}
		seen[id] = true
	}
	live, exclusive := 0, 0
	var ends time.Time
	for i, h := range d.State.Holders {
		entry(h.ID)
		if i == 0 || h.ExpiresAt.Before(ends) {
			ends = h.ExpiresAt
		}
		if !d.live(h) {
			continue
		}
		live++
		if h.Mode == modeExclusive {
			exclusive++
		}
		if h.ExpiresAt.After(d.State.PurgeAt) {
			fail("the document may be purged before a lease ends")
		}
	}
	for _, w := range d.State.Waiters {
		entry(w.ID)
	}
	if exclusive > 0 && live > 1 {
		fail("an exclusive holder is not alone")
	}
	if live > max(k.live, int(d.Policy.Capacity)) {
		fail(fmt.Sprintf("%d holders, more than the capacity and than the %d before", live, k.live))
	}
	if at := d.State.EndsAt; (at == nil) != ends.IsZero() || at != nil && !at.Equal(ends) {
		fail(fmt.Sprintf("the first lease ends at %s, endsAt is %v", ends, at))
	}
	if d.Policy.Retain && !d.State.PurgeAt.Equal(never) {
		fail("the document may be purged though it is to be retained")
	}
	if d.State.Seq > k.seq && d.State.ChangedAt.Before(k.changedAt) {
		fail("changed earlier than before")
	}
	m.checkEvents(d, k, fail)
	k.live = live
}

// checkEvents sees that events come without gaps and that tokens grow with each grant.
func (m *modelTest) checkEvents(d *document, k *knownLock, fail func(string)) {
	if n := len(d.State.Events); n != int(min(d.State.Seq, ringSize)) || n > 0 && d.State.Events[n-1].Seq != d.State.Seq {
		fail("the ring is not what seq says")
	}
	for i, e := range d.State.Events {
		if i > 0 && e.Seq != d.State.Events[i-1].Seq+1 {
			fail("a gap between events")
		}
		if e.Seq <= k.seq || e.Type != string(EventAcquired) {
			continue
		}
		if e.Token <= k.token {
			fail(fmt.Sprintf("token %d after %d", e.Token, k.token))
		}
		k.token = e.Token
		if i := slices.IndexFunc(d.State.Holders, func(h holder) bool { return h.Token == e.Token }); i >= 0 && d.State.Holders[i].Owner != e.Owner {
			fail("the token of a holder is not that of its event")
		}
	}
	if d.State.Fence != k.token {
		fail(fmt.Sprintf("the fence is not the last token, %d", k.token))
	}
	k.seq = d.State.Seq
}

// lengthen gives those whom the engine gives seconds the time that a sequence takes, on the server and in the model.
func (m *modelTest) lengthen(doc, model *document) {
	far := doc.Now.Add(modelFar)
	short := func(at time.Time) bool { return at.After(doc.Now) && at.Before(doc.Now.Add(modelLease/2)) }
	set := bson.D{}
	for i := range doc.State.Holders {
		if h := &doc.State.Holders[i]; short(h.ExpiresAt) {
			h.ExpiresAt, model.State.Holders[i].ExpiresAt = far, far
			set = append(set, bson.E{Key: fmt.Sprintf("state.holders.%d.expiresAt", i), Value: far})
		}
	}
	for i := range doc.State.Waiters {
		if w := &doc.State.Waiters[i]; short(w.ExpiresAt) {
			model.State.Waiters[i].ExpiresAt = far
			set = append(set, bson.E{Key: fmt.Sprintf("state.waiters.%d.expiresAt", i), Value: far})
		}
	}
	if len(set) > 0 {
		m.set(doc, set)
	}
}

// expire ends the lease of a holder, or of a waiter, or of nobody, on the server and in the model.
func (m *modelTest) expire(lock string, model document) string {
	holders, waiters := len(model.State.Holders), len(model.State.Waiters)
	if holders+waiters == 0 {
		return "nobody"
	}
	past := model.Now.Add(-time.Minute)
	doc := m.server.stored(m.T, lock)
	i := m.rng.IntN(holders + waiters)
	var field, owner string
	if i < holders {
		doc.State.Holders[i].ExpiresAt, model.State.Holders[i].ExpiresAt = past, past
		field, owner = fmt.Sprintf("state.holders.%d.expiresAt", i), model.State.Holders[i].Owner
	} else {
		i -= holders
		model.State.Waiters[i].ExpiresAt = past
		field, owner = fmt.Sprintf("state.waiters.%d.expiresAt", i), model.State.Waiters[i].Owner
	}
	m.set(&doc, bson.D{{Key: field, Value: past}})
	m.fake.put(model)
	return owner
}

// set changes fields of a document on the server, with the times that depend on them.
func (m *modelTest) set(doc *document, set bson.D) {
	if ends := doc.ends(); !ends.IsZero() {
		set = append(set, bson.E{Key: "state.endsAt", Value: ends})
		if ends.After(doc.State.PurgeAt) {
			set = append(set, bson.E{Key: "state.purgeAt", Value: ends})
		}
	}
	update := bson.D{{Key: "$set", Value: set}}
	if _, err := m.server.collection().UpdateOne(m.Context(), bson.D{{Key: "_id", Value: doc.ID}}, update); err != nil {
		m.Fatal(err)
	}
}
