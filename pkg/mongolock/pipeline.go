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

// Everything the server evaluates is in this file: pure functions, golden-tested as BSON. The rules they keep:
//
//   - Time is $$NOW, the server's; a client sends durations only.
//   - What a caller supplied is wrapped in $literal, or an owner named "$fence" would be read as a field.
//   - All that depends on "is it free?" is computed from the input document in one stage: a later stage would see the new value.
//   - A refused acquire leaves the document as it is, which servers recognise: no write, no oplog entry.
//   - Only operators that MongoDB 4.4 to 8 and DocumentDB share, and no $let inside $map or $filter, where some versions crash.

// acquisition is one attempt to be granted a lock; it keeps its holder id over all its sends.
type acquisition struct {
	lock     string
	holderID string
	owner    string
	leaseMS  int64
	meta     []metaPair
}

// grantRef names one grant.
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

// acquirePipeline grants the lock if it is free, and otherwise changes nothing. A repeated send after a grant finds its own live
// holder and so changes nothing either: same grant, same token.
func acquirePipeline(a acquisition) bson.A {
	// Seeding with the server's time keeps tokens growing even after the document, and the counter in it, was purged.
	token := op("$max", op("$add", "$fence", int64(1)), op("$toLong", "$$NOW"))
	end := op("$add", "$$NOW", a.leaseMS)
	// Exclusive holders only: at most one is left over, so its expiry is event seq+1 and the grant follows.
	seq := op("$add", "$seq", op("$size", "$holders"), int64(1))
	acquired := bson.D{
		{Key: "seq", Value: seq},
		{Key: "type", Value: string(EventAcquired)},
		{Key: "owner", Value: literal(a.owner)},
		{Key: "token", Value: token},
		{Key: "at", Value: "$$NOW"},
	}
	granted := bson.D{
		{Key: "holders", Value: bson.A{bson.D{
			{Key: "id", Value: literal(a.holderID)},
			{Key: "owner", Value: literal(a.owner)},
			{Key: "mode", Value: modeExclusive},
			{Key: "token", Value: token},
			{Key: "lease", Value: literal(a.leaseMS)},
			{Key: "acquiredAt", Value: "$$NOW"},
			{Key: "expiresAt", Value: end},
			{Key: "rev", Value: literal(int64(0))},
			{Key: "meta", Value: literal(a.meta)},
		}}},
		{Key: "fence", Value: token},
		{Key: "grants", Value: op("$add", "$grants", int64(1))},
		{Key: "seq", Value: seq},
		{Key: "events", Value: appendEvents(eventsOf("$holders", string(EventExpired), "$$h.expiresAt"), bson.A{acquired})},
		{Key: "changedAt", Value: "$$NOW"},
		{Key: "expiresAt", Value: end},
	}
	return ifFree(granted)
}

// renewPipeline extends those of the named holders that are still live, each by the lease stored with it. $max, because $$NOW may be
// older than the last renewal: it is taken when the command starts, before the document is locked.
func renewPipeline(refs []grantRef) bson.A {
	ids := make(bson.A, len(refs))
	for i, r := range refs {
		ids[i] = r.holderID
	}
	ours := op("$and", op("$in", "$$h.id", literal(ids)), op("$gt", "$$h.expiresAt", "$$NOW"))
	extended := op("$mergeObjects", "$$h", bson.D{
		{Key: "expiresAt", Value: op("$max", "$$h.expiresAt", op("$add", "$$NOW", "$$h.lease"))},
		{Key: "rev", Value: op("$add", "$$h.rev", int64(1))},
	})
	return bson.A{
		stage("$set", bson.D{{Key: "holders", Value: mapHolders("$holders", op("$cond", ours, extended, "$$h"))}}),
		stage("$set", bson.D{{Key: "expiresAt", Value: op("$max", "$holders.expiresAt")}}),
	}
}

func renewFilter(refs []grantRef) bson.D {
	locks, ids := make(bson.A, len(refs)), make(bson.A, len(refs))
	for i, r := range refs {
		locks[i], ids[i] = r.lock, r.holderID
	}
	return bson.D{
		{Key: "_id", Value: op("$in", locks)},
		{Key: "v", Value: schemaVersion},
		{Key: "holders.id", Value: op("$in", ids)},
	}
}

// releasePipeline takes the holder out. If its lease had ended before, the event says so: expired, at that time.
func releasePipeline(holderID string) bson.A {
	is := op("$eq", "$$h.id", literal(holderID))
	live := op("$gt", "$$h.expiresAt", "$$NOW")
	ended := eventsOf(filterHolders(is),
		op("$cond", live, string(EventReleased), string(EventExpired)),
		op("$cond", live, "$$NOW", "$$h.expiresAt"))
	return bson.A{stage("$set", bson.D{
		{Key: "holders", Value: filterHolders(op("$not", bson.A{is}))},
		{Key: "seq", Value: op("$add", "$seq", int64(1))},
		{Key: "events", Value: appendEvents(ended)},
		{Key: "changedAt", Value: "$$NOW"},
		{Key: "expiresAt", Value: "$$NOW"},
	})}
}

func releaseFilter(ref grantRef) bson.D {
	return append(byID(ref.lock), bson.E{Key: "holders.id", Value: ref.holderID})
}

// sweepPipeline takes out the holder whose lease has ended and records the expiry; it changes nothing while the holder is live.
func sweepPipeline() bson.A {
	swept := bson.D{
		{Key: "holders", Value: bson.A{}},
		{Key: "seq", Value: op("$add", "$seq", int64(1))},
		{Key: "events", Value: appendEvents(eventsOf("$holders", string(EventExpired), "$$h.expiresAt"))},
		{Key: "changedAt", Value: "$$NOW"},
	}
	return ifFree(swept)
}

// sweepFilter preselects by index. DocumentDB has no $$NOW in filters, so the times come from earlier reads of the same server; the
// pipeline judges.
func sweepFilter(after, before time.Time) bson.D {
	return bson.D{
		{Key: "expiresAt", Value: bson.D{{Key: "$gt", Value: after}, {Key: "$lte", Value: before}}},
		{Key: "v", Value: schemaVersion},
		{Key: "holders.0", Value: op("$exists", true)},
	}
}

// ifFree sets the fields if no holder is live, and otherwise leaves the document as it is, to the byte. The latest end among the
// holders decides; $max of none is null, which sorts before every date. The answer is kept in a temporary field, so that all fields
// are decided by the input document. ($replaceWith and $$ROOT would be shorter, but DocumentDB 1.0 then stores _id twice.)
func ifFree(fields bson.D) bson.A {
	const temporary = "free"
	set := make(bson.D, len(fields))
	for i, f := range fields {
		set[i] = bson.E{Key: f.Key, Value: op("$cond", "$"+temporary, f.Value, "$"+f.Key)}
	}
	return bson.A{
		stage("$set", bson.D{{Key: temporary, Value: op("$lte", op("$max", "$holders.expiresAt"), "$$NOW")}}),
		stage("$set", set),
		stage("$unset", temporary),
	}
}

// projection returns a document with the server's time of the command in it.
func projection() bson.D {
	p := bson.D{}
	for _, field := range []string{"v", "holders", "fence", "grants", "seq", "events", "changedAt"} {
		p = append(p, bson.E{Key: field, Value: 1})
	}
	return append(p, bson.E{Key: "now", Value: "$$NOW"})
}

// eventsOf makes an event of each of the given holders; they are exclusive, so there is at most one, and it is number seq+1.
func eventsOf(holders any, eventType, at any) bson.D {
	return mapHolders(holders, bson.D{
		{Key: "seq", Value: op("$add", "$seq", int64(1))},
		{Key: "type", Value: eventType},
		{Key: "owner", Value: "$$h.owner"},
		{Key: "token", Value: "$$h.token"},
		{Key: "at", Value: at},
	})
}

// appendEvents adds to the ring and drops the oldest.
func appendEvents(more ...any) bson.D {
	return op("$slice", op("$concatArrays", append([]any{"$events"}, more...)...), -ringSize)
}

func mapHolders(holders, in any) bson.D {
	return op("$map", bson.D{{Key: "input", Value: holders}, {Key: "as", Value: "h"}, {Key: "in", Value: in}})
}

func filterHolders(cond any) bson.D {
	return op("$filter", bson.D{{Key: "input", Value: "$holders"}, {Key: "as", Value: "h"}, {Key: "cond", Value: cond}})
}
