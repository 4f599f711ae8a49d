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

// schemaVersion marks a document as ours. One without it is foreign: every filter names it, so that a foreign document matches
// nothing and is never written to.
const schemaVersion = 1

// ringSize is how many events a document keeps.
const ringSize = 16

// modeExclusive is the only mode so far; it is stored so that a later one cannot be mistaken for it.
const modeExclusive = "exclusive"

// document is a lock as it is stored, plus the server's time of the command that returned it.
type document struct {
	ID        string    `bson:"_id"`
	V         int32     `bson:"v"`
	Holders   []holder  `bson:"holders"`
	Fence     int64     `bson:"fence"`
	Grants    int64     `bson:"grants"`
	Seq       int64     `bson:"seq"`
	Events    []event   `bson:"events"`
	ChangedAt time.Time `bson:"changedAt"`
	// Now is computed by the server in a projection; it is never stored.
	Now time.Time `bson:"now"`
	// foreign is set, and all but ID and Now is empty, when the document was not written by this package.
	foreign error
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
}

// metaPair is a metadata entry. Keys are stored as values, because field names that begin with '$' are refused by some servers and
// executed by others.
type metaPair struct {
	Key   string `bson:"k"`
	Value string `bson:"v"`
}

type event struct {
	Seq   int64     `bson:"seq"`
	Type  string    `bson:"type"`
	Owner string    `bson:"owner"`
	Token int64     `bson:"token"`
	At    time.Time `bson:"at"`
}

// stubLife is how long the stub of a lock is kept that nobody came to acquire.
const stubLife = 24 * time.Hour

// stub is the document of a lock that was never granted. Its one time is a client's, as an insert has no other; it only says when to
// purge it if nobody ever acquires the lock, and purging a free lock does no harm at any time.
func stub(lock string, now time.Time) bson.D {
	return bson.D{
		{Key: "_id", Value: lock},
		{Key: "v", Value: int32(schemaVersion)},
		{Key: "holders", Value: bson.A{}},
		{Key: "fence", Value: int64(0)},
		{Key: "grants", Value: int64(0)},
		{Key: "seq", Value: int64(0)},
		{Key: "events", Value: bson.A{}},
		{Key: "expiresAt", Value: now.Add(stubLife)},
	}
}

// grant finds the holder with this id, live or not.
func (d *document) grant(holderID string) (holder, bool) {
	i := slices.IndexFunc(d.Holders, func(h holder) bool { return h.ID == holderID })
	if i < 0 {
		return holder{}, false
	}
	return d.Holders[i], true
}

// live tells whether the grant had not ended at the server's time of this document.
func (d *document) live(h holder) bool { return h.ExpiresAt.After(d.Now) }

// state is the public picture of the document.
func (d *document) state() State {
	s := State{
		ID: d.ID, Exists: true,
		Token: d.Fence, Grants: d.Grants, Seq: d.Seq,
		ChangedAt: d.ChangedAt, ReadAt: d.Now,
	}
	for _, h := range d.Holders {
		if d.live(h) {
			s.Holders = append(s.Holders, h.public())
		}
	}
	for _, e := range d.Events {
		s.Events = append(s.Events, Event{Seq: e.Seq, Type: EventType(e.Type), Owner: e.Owner, Token: e.Token, At: e.At})
	}
	return s
}

// heldBy describes the live holder whose lease lasts longest.
func (d *document) heldBy() *HeldError {
	e := &HeldError{Lock: d.ID}
	if len(d.Holders) == 0 {
		return e
	}
	h := slices.MaxFunc(d.Holders, func(a, b holder) int { return cmp.Compare(a.ExpiresAt.UnixMilli(), b.ExpiresAt.UnixMilli()) })
	e.Owner, e.Token, e.Metadata = h.Owner, h.Token, h.metadata()
	e.Remaining = max(0, h.ExpiresAt.Sub(d.Now))
	return e
}

func (h holder) public() Holder {
	return Holder{
		Owner: h.Owner, Metadata: h.metadata(), Token: h.Token, Lease: time.Duration(h.Lease) * time.Millisecond,
		AcquiredAt: h.AcquiredAt, ExpiresAt: h.ExpiresAt, Revision: h.Rev,
	}
}

func (h holder) metadata() map[string]string {
	if len(h.Meta) == 0 {
		return nil
	}
	m := make(map[string]string, len(h.Meta))
	for _, p := range h.Meta {
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
