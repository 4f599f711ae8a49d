/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package mongolock

import (
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// Everything the server evaluates is in this file and in settle.go: pure functions, golden-tested as BSON. The rules they keep:
//
//   - Time is $$NOW, the server's; a client sends durations only.
//   - What a caller supplied is wrapped in $literal, or an owner named "$fence" would be read as a field.
//   - All that depends on "is it free?" is computed from the input document in one stage: a later stage would see the new value.
//   - A refused acquire leaves the document as it is, which servers recognise: no write, no oplog entry.
//   - Only operators that MongoDB 4.4 to 8 and DocumentDB share, and no $let inside $map or $filter, where some versions crash.
//
// This file has what is done all the time: acquire a lock that nobody waits for, renew, release a lock that nobody waits for. Each
// changes the whole state under one condition, and where that does not hold, nothing; settle.go has the general case.

// acquisition is one attempt to be granted a lock; it keeps its holder id over all its sends.
type acquisition struct {
	lock     string
	holderID string
	owner    string
	mode     string
	leaseMS  int64
	meta     []metaPair
	barge    bool // do not mind those who wait
}

// grantRef names one grant, and the waiter that it was made for.
type grantRef struct{ lock, holderID string }

func literal(v any) bson.D { return bson.D{{Key: "$literal", Value: v}} }

func op(name string, args ...any) bson.D {
	if len(args) == 1 {
		return bson.D{{Key: name, Value: args[0]}}
	}
	return bson.D{{Key: name, Value: bson.A(args)}}
}

func stage(name string, value any) bson.D { return bson.D{{Key: name, Value: value}} }

// byID matches a lock's document, never a foreign one.
func byID(lock string) bson.D {
	return bson.D{{Key: "_id", Value: lock}, {Key: "v", Value: schemaVersion}}
}

// anyByID also matches a foreign document, so the pipeline must not touch one. Every condition in a filter costs DocumentDB a twentieth
// of the command.
func anyByID(lock string) bson.D { return bson.D{{Key: "_id", Value: lock}} }

// nextToken is larger than every earlier one. Seeding with the server's time keeps it so even after the document, and the counter in
// it, was purged.
func nextToken() bson.D {
	return op("$max", op("$add", "$state.fence", int64(1)), op("$toLong", "$$NOW"))
}

// acquirePipeline grants the lock to an exclusive holder if it is free, nobody waits, and nothing was decided about it, and otherwise
// changes nothing. A repeated send after a grant finds a holder and so changes nothing either: same grant, same token.
func acquirePipeline(a acquisition) bson.A {
	end := op("$add", "$$NOW", a.leaseMS)
	seq := op("$add", "$state.seq", int64(1))
	// One comparison of everything costs the server less than one of each.
	free := op("$eq",
		bson.A{"$v", "$policy", "$state.holders", "$state.waiters"},
		literal(bson.A{schemaVersion, Policy{}.stored(), bson.A{}, bson.A{}}))
	granted := bson.D{
		{Key: "holders", Value: bson.A{bson.D{
			{Key: "id", Value: literal(a.holderID)},
			{Key: "owner", Value: literal(a.owner)},
			{Key: "mode", Value: modeExclusive},
			{Key: "token", Value: nextToken()},
			{Key: "lease", Value: literal(a.leaseMS)},
			{Key: "acquiredAt", Value: "$$NOW"},
			{Key: "expiresAt", Value: end},
			{Key: "rev", Value: literal(int64(0))},
			{Key: "meta", Value: literal(a.meta)},
		}}},
		{Key: "waiters", Value: bson.A{}},
		{Key: "fence", Value: nextToken()},
		{Key: "grants", Value: op("$add", "$state.grants", int64(1))},
		{Key: "seq", Value: seq},
		{Key: "events", Value: appendEvents(bson.A{bson.D{
			{Key: "seq", Value: seq},
			{Key: "type", Value: string(EventAcquired)},
			{Key: "owner", Value: literal(a.owner)},
			{Key: "token", Value: nextToken()},
			{Key: "at", Value: "$$NOW"},
		}})},
		{Key: "changedAt", Value: "$$NOW"},
		{Key: "endsAt", Value: end},
		{Key: "purgeAt", Value: end},
	}
	return bson.A{stage("$set", bson.D{{Key: "state", Value: op("$cond", free, granted, "$state")}})}
}

// releasePipeline takes out the only holder if it is this one, live, and nobody waits; otherwise it changes nothing. The token has to be the
// grant's, too: a late send of its acquisition may have been granted the lock anew.
func releasePipeline(g grant) bson.A {
	seq := op("$add", "$state.seq", int64(1))
	alone := op("$and",
		op("$eq",
			bson.A{"$v", "$state.holders.id", "$state.holders.token", "$state.waiters"},
			literal(bson.A{schemaVersion, bson.A{g.holderID}, bson.A{g.token}, bson.A{}})),
		op("$gt", "$state.endsAt", "$$NOW"))
	released := bson.D{
		{Key: "holders", Value: bson.A{}},
		{Key: "waiters", Value: bson.A{}},
		{Key: "fence", Value: "$state.fence"},
		{Key: "grants", Value: "$state.grants"},
		{Key: "seq", Value: seq},
		{Key: "events", Value: appendEvents(bson.A{bson.D{
			{Key: "seq", Value: seq},
			{Key: "type", Value: string(EventReleased)},
			{Key: "owner", Value: literal(g.owner)},
			{Key: "token", Value: literal(g.token)},
			{Key: "at", Value: "$$NOW"},
		}})},
		{Key: "changedAt", Value: "$$NOW"},
		{Key: "endsAt", Value: nil},
		{Key: "purgeAt", Value: "$state.purgeAt"},
	}
	return bson.A{stage("$set", bson.D{{Key: "state", Value: op("$cond", alone, released, "$state")}})}
}

// renewPipeline extends those of the grants that are still live, each by the lease stored with it. The token is compared as well as the
// id: a late send of an acquisition whose grant was evicted may be granted the lock once more, and nobody is told of that. $max, because
// $$NOW may be older than the last renewal: it is taken when the command starts, before the document is locked.
func renewPipeline(grants []grant) bson.A {
	known := make(bson.A, len(grants))
	for i, g := range grants {
		known[i] = bson.A{g.holderID, g.token}
	}
	ours := op("$and", op("$in", bson.A{"$$h.id", "$$h.token"}, literal(known)), op("$gt", "$$h.expiresAt", "$$NOW"))
	extended := op("$mergeObjects", "$$h", bson.D{
		{Key: "expiresAt", Value: op("$max", "$$h.expiresAt", op("$add", "$$NOW", "$$h.lease"))},
		{Key: "rev", Value: op("$add", "$$h.rev", int64(1))},
	})
	return bson.A{
		stage("$set", bson.D{{Key: "state.holders", Value: forEach("h", "$state.holders", op("$cond", ours, extended, "$$h"))}}),
		stage("$set", bson.D{
			{Key: "state.endsAt", Value: op("$min", "$state.holders.expiresAt")},
			{Key: "state.purgeAt", Value: op("$max", "$state.purgeAt", op("$max", "$state.holders.expiresAt"))},
		}),
	}
}

func renewFilter(grants []grant) bson.D {
	locks := make(bson.A, len(grants))
	for i, g := range grants {
		locks[i] = g.lock
	}
	// Not the holders' ids as well: the server would compare each of them with each document. But somebody must hold the lock: into a
	// state that was spoilt the pipeline would write.
	return bson.D{
		{Key: "_id", Value: op("$in", locks)},
		{Key: "v", Value: schemaVersion},
		{Key: "state.endsAt", Value: op("$gt", time.UnixMilli(0))},
	}
}

// sweepFilter preselects by index. DocumentDB has no $$NOW in filters, so the times come from earlier reads of the same server; the
// pipeline judges.
func sweepFilter(after, before time.Time) bson.D {
	return bson.D{
		{Key: "state.endsAt", Value: bson.D{{Key: "$gt", Value: after}, {Key: "$lte", Value: before}}},
		{Key: "v", Value: schemaVersion},
	}
}

// purgeFilter matches documents that nobody has used since before. They have no holder and no waiter, so that deleting them can free
// nothing, whatever the clocks say.
func purgeFilter(before time.Time) bson.D {
	return bson.D{
		{Key: "state.purgeAt", Value: op("$lt", before)},
		{Key: "v", Value: schemaVersion},
		{Key: "state.holders", Value: op("$size", 0)},
		{Key: "state.waiters", Value: op("$size", 0)},
	}
}

// projection returns a document with the server's time of the command in it.
func projection() bson.D { return project("policy", "state") }

// tryProjection returns what somebody who tries to acquire the lock has to know: not the queue itself, which may be long, and not the
// events.
func tryProjection() bson.D {
	return append(project("policy", "state.holders"), bson.E{Key: "queued", Value: op("$size", "$state.waiters")})
}

// queueProjection returns what somebody who waits has to know, with the place in the queue.
func queueProjection(holderID string) bson.D {
	return append(project("policy", "state.holders", "state.grants", "state.changedAt"),
		bson.E{Key: "queued", Value: op("$size", "$state.waiters")},
		bson.E{Key: "place", Value: op("$indexOfArray", "$state.waiters.id", literal(holderID))})
}

// glanceProjection returns what a glimpse shows.
func glanceProjection() bson.D {
	// Outermost, $slice would be the projection operator of that name, which means something else.
	head := op("$concatArrays", bson.A{op("$slice", "$state.waiters.id", headSize)})
	return append(project("state.holders.id", "state.holders.expiresAt", "state.grants", "state.changedAt"),
		bson.E{Key: "head", Value: head})
}

func project(fields ...string) bson.D {
	p := bson.D{{Key: "v", Value: 1}}
	for _, field := range fields {
		p = append(p, bson.E{Key: field, Value: 1})
	}
	return append(p, bson.E{Key: "now", Value: "$$NOW"})
}

// appendEvents adds to the ring and drops the oldest.
func appendEvents(more ...any) bson.D {
	return op("$slice", op("$concatArrays", append([]any{"$state.events"}, more...)...), -ringSize)
}

func forEach(as string, input, in any) bson.D {
	return op("$map", bson.D{{Key: "input", Value: input}, {Key: "as", Value: as}, {Key: "in", Value: in}})
}

func where(as string, input, cond any) bson.D {
	return op("$filter", bson.D{{Key: "input", Value: input}, {Key: "as", Value: as}, {Key: "cond", Value: cond}})
}
