/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package mongolock

import (
	"context"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// store is what the engine needs of a database: a few operations, each atomic per document and judged by the database's clock. It
// exists so that the timing of leases can be tested without I/O.
type store interface {
	// acquire returns the document after the attempt: the caller holds the lock if its holder id is in it and live.
	acquire(ctx context.Context, a acquisition) (*document, error)
	// queue is acquire by somebody who waits: if it is not granted, it has a place in the queue, unless that is full.
	queue(ctx context.Context, a acquisition) (*document, error)
	// renew extends grants and tells of each what became of it.
	renew(ctx context.Context, grants []grant) ([]fate, error)
	// release takes out a grant.
	release(ctx context.Context, g grant) (departure, error)
	// leave takes out whatever an acquisition left: a grant, or a place in the queue.
	leave(ctx context.Context, ref grantRef) (departure, error)
	// evict takes out the live grant with that token.
	evict(ctx context.Context, lock string, token int64, reason string) (departure, error)
	// setPolicy replaces a lock's policy and returns the document.
	setPolicy(ctx context.Context, lock string, p policy) (*document, error)
	// sweep records expiries that nobody noticed, among the leases that were to end between two server times; it returns how many.
	sweep(ctx context.Context, after, before time.Time) (int64, error)
	// purge deletes documents that nobody has used since before; it returns how many.
	purge(ctx context.Context, before time.Time) (int64, error)
	// find reads documents, in order of their ids if it is limited.
	find(ctx context.Context, q query) ([]document, error)
	// glance reads what those need who wait for the locks.
	glance(ctx context.Context, locks []string) ([]glimpse, error)
}

// grant is what the holder of a lock knows of it.
type grant struct {
	grantRef
	owner string
	token int64
	// contended: somebody waited for the lock when this was granted, so that it will probably be handed over.
	contended bool
}

// departure is what became of somebody who was to leave.
type departure struct {
	how exit
	to  []string // ids of the waiters that the lock was handed over to
}

// exit is how somebody left, as the lock's events tell it.
type exit int

const (
	exitNone    exit = iota // there was nobody to leave: the document is as it was
	exitDone                // it left by this request
	exitLate                // its grant had ended before, by itself or by another
	exitUnknown             // the events that would tell it are forgotten, because too much has happened since
)

// changed tells whether the document was changed.
func (d departure) changed() bool { return d.how != exitNone }

// glimpse is a lock as those see it who wait for it.
type glimpse struct {
	ID    string `bson:"_id"`
	State struct {
		Holders   []glimpsedHolder `bson:"holders"`
		Grants    int64            `bson:"grants"`
		ChangedAt time.Time        `bson:"changedAt"`
	} `bson:"state"`
	// Head are the ids of the first waiters.
	Head []string  `bson:"head"`
	Now  time.Time `bson:"now"`
}

type glimpsedHolder struct {
	ID        string    `bson:"id"`
	ExpiresAt time.Time `bson:"expiresAt"`
}

// headSize is how many waiters a glimpse shows.
const headSize = 8

// fate is what became of a grant that was to be renewed.
type fate int

const (
	// fateUnsure: it is there, but whether this command renewed it cannot be told.
	fateUnsure fate = iota
	fateRenewed
	// fateGone: it has ended, by the server's word.
	fateGone
)

// query selects documents, all if it is empty.
type query struct {
	ids          []string // nil: not by name
	prefix       string
	after        string // ids greater than this
	heldOnly     bool   // recorded holders; whether they are live is for the reader to see
	changedAfter time.Time
	limit        int64
}

// filter leaves out foreign documents, except where locks are asked for by name: then the caller must be told.
func (q query) filter() bson.D {
	var filter, id bson.D
	if len(q.ids) > 0 {
		id = op("$in", q.ids)
	} else {
		// Comparing with a string leaves out ids of other types, which are not locks.
		id = op("$gte", q.prefix)
		filter = append(filter, bson.E{Key: "v", Value: schemaVersion})
	}
	if q.prefix != "" {
		// U+10FFFF sorts after every other character of UTF-8.
		id = append(id, bson.E{Key: "$lte", Value: q.prefix + "\U0010FFFF"})
	}
	if q.after != "" {
		id = append(id, bson.E{Key: "$gt", Value: q.after})
	}
	filter = append(filter, bson.E{Key: "_id", Value: id})
	if q.heldOnly {
		filter = append(filter, bson.E{Key: "state.holders.0", Value: op("$exists", true)})
	}
	if !q.changedAfter.IsZero() {
		filter = append(filter, bson.E{Key: "state.changedAt", Value: bson.D{{Key: "$gt", Value: q.changedAfter}}})
	}
	return filter
}
