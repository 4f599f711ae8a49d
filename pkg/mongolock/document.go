/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package mongolock

import (
	"cmp"
	"slices"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// schemaVersion marks a document as ours. One without it is foreign: it is refused and never written to.
const schemaVersion = 2

// ringSize is how many events a document keeps.
const ringSize = 16

// The modes of a grant.
const (
	modeExclusive = "exclusive"
	modeShared    = "shared"
)

// document is a lock as it is stored, plus what the server computed in the projection of the command that returned it.
type document struct {
	ID     string    `bson:"_id"`
	V      int32     `bson:"v"`
	Policy policy    `bson:"policy"`
	State  lockState `bson:"state"`
	// Now is the server's time of the command, Place the index of the asking waiter among Queued waiters, -1 if it is not there.
	// They are computed and never stored.
	Now    time.Time `bson:"now"`
	Place  int       `bson:"place"`
	Queued int       `bson:"queued"`
	// foreign is set, and all but ID and Now is empty, when the document was not written by this package.
	foreign error
}

// policy is what an administrator or the operator decided about a lock. It stands apart from the state: acquiring and releasing
// read it and never write it.
type policy struct {
	Capacity  int32 `bson:"capacity"`
	Suspended bool  `bson:"suspended"`
	MaxLease  int64 `bson:"maxLease"` // milliseconds; that of a lock without a limit is MaxLease
	Retain    bool  `bson:"retain"`
}

// lockState is all of a lock that changes in use. It is one field so that one condition decides about all of it: a condition for each
// field costs the server more than everything else in an acquire.
type lockState struct {
	Holders   []holder    `bson:"holders"`
	Waiters   []waiterDoc `bson:"waiters"` // in order of their arrival
	Fence     int64       `bson:"fence"`
	Grants    int64       `bson:"grants"`
	Seq       int64       `bson:"seq"`
	Events    []event     `bson:"events"`
	ChangedAt time.Time   `bson:"changedAt"` // the last transition; renewals do not touch it
	// EndsAt is when the first of the holders' leases ends, for the sweep; null when nobody holds the lock.
	EndsAt *time.Time `bson:"endsAt"`
	// PurgeAt is never before the end of a lease; the document is purged when it has passed for the grace period.
	PurgeAt time.Time `bson:"purgeAt"`
}

// holder is one grant. Its id is made by the client for one acquisition, before the first send: it is what lets a repeated request
// recognise its own effect, and what keeps others from renewing or releasing the grant.
type holder struct {
	ID         string     `bson:"id"`
	Owner      string     `bson:"owner"`
	Mode       string     `bson:"mode"`
	Token      int64      `bson:"token"`
	Lease      int64      `bson:"lease"` // milliseconds
	AcquiredAt time.Time  `bson:"acquiredAt"`
	ExpiresAt  time.Time  `bson:"expiresAt"`
	Rev        int64      `bson:"rev"`
	Meta       []metaPair `bson:"meta"`
	// Pending: it was handed over to a waiter, who has not confirmed yet. Until then it lasts confirmTime only.
	Pending bool `bson:"pending,omitempty"`
}

// waiterDoc is a waiter's place in the queue. It has a lease of its own, which the waiter refreshes: the place of a dead one is
// skipped when that is over.
type waiterDoc struct {
	ID        string     `bson:"id"`
	Owner     string     `bson:"owner"`
	Mode      string     `bson:"mode"`
	Lease     int64      `bson:"lease"` // milliseconds, of the grant it waits for
	Since     time.Time  `bson:"since"`
	ExpiresAt time.Time  `bson:"expiresAt"`
	Meta      []metaPair `bson:"meta"`
}

// metaPair is a metadata entry. Keys are stored as values, because field names that begin with '$' are refused by some servers and
// executed by others.
type metaPair struct {
	Key   string `bson:"k"`
	Value string `bson:"v"`
}

type event struct {
	Seq    int64     `bson:"seq"`
	Type   string    `bson:"type"`
	Owner  string    `bson:"owner"`
	Token  int64     `bson:"token"`
	At     time.Time `bson:"at"`
	Reason string    `bson:"reason,omitempty"`
}

// stub is the document of a lock that was never granted. Its one time is a client's, as an insert has no other; it only says when to
// purge it if nobody ever acquires the lock, and purging a free lock does no harm at any time.
func stub(lock string, now time.Time) bson.D {
	return bson.D{
		{Key: "_id", Value: lock},
		{Key: "v", Value: int32(schemaVersion)},
		{Key: "policy", Value: Policy{}.stored()},
		{Key: "state", Value: bson.D{
			{Key: "holders", Value: bson.A{}},
			{Key: "waiters", Value: bson.A{}},
			{Key: "fence", Value: int64(0)},
			{Key: "grants", Value: int64(0)},
			{Key: "seq", Value: int64(0)},
			{Key: "events", Value: bson.A{}},
			{Key: "changedAt", Value: time.UnixMilli(0)},
			{Key: "endsAt", Value: nil},
			{Key: "purgeAt", Value: now},
		}},
	}
}

// grant finds the holder with this id, live or not.
func (d *document) grant(holderID string) (holder, bool) {
	i := slices.IndexFunc(d.State.Holders, func(h holder) bool { return h.ID == holderID })
	if i < 0 {
		return holder{}, false
	}
	return d.State.Holders[i], true
}

// live tells whether the grant had not ended at the server's time of this document.
func (d *document) live(h holder) bool { return h.ExpiresAt.After(d.Now) }

// waits tells whether the waiter's place had not ended at that time.
func (d *document) waits(w waiterDoc) bool { return w.ExpiresAt.After(d.Now) }

// farAway is longer than any lease. Somebody may have edited the end of one to be so far away that a Duration, or a sum with one, would
// overflow, and look as if it were over.
const farAway = 100 * 365 * 24 * time.Hour

// untilEnd is the rest of a lease.
func untilEnd(expiresAt, now time.Time) time.Duration { return min(expiresAt.Sub(now), farAway) }

// state is the public picture of the document.
func (d *document) state() State {
	s := State{
		ID: d.ID, Exists: true, Policy: d.Policy.public(),
		Token: d.State.Fence, Grants: d.State.Grants, Seq: d.State.Seq,
		ChangedAt: d.State.ChangedAt, ReadAt: d.Now,
	}
	for _, h := range d.State.Holders {
		if d.live(h) {
			s.Holders = append(s.Holders, h.public())
		}
	}
	for _, w := range d.State.Waiters {
		if d.waits(w) {
			s.Waiters = append(s.Waiters, Waiter{
				Owner: w.Owner, Metadata: metadata(w.Meta), Shared: w.Mode == modeShared, Since: w.Since,
				Lease: time.Duration(w.Lease) * time.Millisecond,
			})
		}
	}
	for _, e := range d.State.Events {
		s.Events = append(s.Events, Event{Seq: e.Seq, Type: EventType(e.Type), Owner: e.Owner, Token: e.Token, At: e.At, Reason: e.Reason})
	}
	return s
}

// heldBy describes what stands in the way: the live holder whose lease lasts longest, if there is one.
func (d *document) heldBy() *HeldError {
	e := &HeldError{Lock: d.ID, Waiting: d.Queued, Suspended: d.Policy.Suspended}
	for _, h := range d.State.Holders {
		if left := untilEnd(h.ExpiresAt, d.Now); left > e.Remaining {
			e.Owner, e.Token, e.Metadata, e.Remaining = h.Owner, h.Token, metadata(h.Meta), left
		}
	}
	return e
}

// exit is how the grant with this token ended, as the ring tells it: exitDone if it is by such an event, exitLate if by another or if the
// grant was not one of this document, and exitUnknown if the ring may have forgotten it.
func (d *document) exit(by EventType, token int64) exit {
	for _, e := range slices.Backward(d.State.Events) {
		switch {
		case e.Token != token:
		case e.Type == string(by):
			return exitDone
		default:
			return exitLate
		}
	}
	if len(d.State.Events) < ringSize {
		return exitLate
	}
	return exitUnknown
}

// departed is what became of the holder with this token, which is gone.
func (d *document) departed(by EventType, token int64) departure {
	return departure{how: d.exit(by, token), to: d.handedTo()}
}

// handedTo are the ids of the waiters that the lock was handed over to and that have not confirmed yet.
func (d *document) handedTo() []string {
	var ids []string
	for _, h := range d.State.Holders {
		if h.Pending && d.live(h) {
			ids = append(ids, h.ID)
		}
	}
	return ids
}

func (h holder) public() Holder {
	return Holder{
		Owner: h.Owner, Metadata: metadata(h.Meta), Shared: h.Mode == modeShared,
		Token: h.Token, Lease: time.Duration(h.Lease) * time.Millisecond,
		AcquiredAt: h.AcquiredAt, ExpiresAt: h.ExpiresAt, Revision: h.Rev,
	}
}

func metadata(pairs []metaPair) map[string]string {
	if len(pairs) == 0 {
		return nil
	}
	m := make(map[string]string, len(pairs))
	for _, p := range pairs {
		m[p.Key] = p.Value
	}
	return m
}

// metaPairs orders metadata by key, so that equal metadata are equal documents.
func metaPairs(metadata map[string]string) []metaPair {
	pairs := make([]metaPair, 0, len(metadata))
	for k, v := range metadata {
		pairs = append(pairs, metaPair{Key: k, Value: v})
	}
	slices.SortFunc(pairs, func(a, b metaPair) int { return cmp.Compare(a.Key, b.Key) })
	return pairs
}
