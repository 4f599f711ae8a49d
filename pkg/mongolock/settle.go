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

const (
	// confirmTime is how long a lock that was handed over stays with a waiter who does not confirm: what a dead one costs the others.
	confirmTime = 2 * time.Second
	// waiterLease is how long a waiter keeps its place without refreshing it, refreshPeriod how often it does.
	waiterLease   = 15 * time.Second
	refreshPeriod = 5 * time.Second
)

// never is the purge time of a document that is retained.
var never = time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)

// transition is one change of a lock in the general case. Whatever is asked for, the same is done with the rest: holders whose leases
// have ended are taken out with an event each, waiters who are dead are taken out, and then the lock is handed over, in order, to as
// many of the waiters as it has room for: the first if it is exclusive and the lock is free, or the first so many that share it.
//
// Which fields are set tells what is asked for, and when the document is written; if it is not, it stays as it is to the byte:
//
//	command  fields                   asks for                                       written if
//	try      join, atOnce             the lock now; those before the caller, all of  the caller is granted the lock
//	                                  whom must fit too, get it with it
//	  barge  join.barge as well       the same, as if there were no queue            the same; the queue stays as it is
//	queue    join                     a place, its refresh, or a confirmation        the caller has a place or the lock then: unless full
//	leave    drop, dropped, withdraw  a holder or waiter to go                       always: leaveFilter and holdFilter want it there
//	evict    drop, dropped, reason    a holder to go                                 always: evictFilter wants it there
//	policy   policy                   another policy                                 that differs, or a lease had ended or a waiter fits
//	sweep    none                     nothing                                        a lease had ended, or a waiter fits
//
// A queue command that only refreshes, confirms, or finds the lock the caller's already leaves changedAt, as a renewal does. A policy sets
// purgeAt anew, all else only moves it on.
type transition struct {
	// drop is which of the live holders are taken out, as a condition on $$h, and dropped the event of it.
	drop    any
	dropped EventType
	reason  string
	// withdraw is the id of a waiter to take out.
	withdraw string
	// join is who wants the lock. It is queued unless it is there already; one to which the lock was handed over confirms. With atOnce
	// set it is granted the lock at once, or nothing is changed.
	join   *acquisition
	atOnce bool
	// policy replaces the lock's.
	policy *policy
}

// queuePipeline puts a waiter in the queue, refreshes its place, or confirms that it has taken what was handed over to it.
func queuePipeline(a acquisition) bson.A { return transition{join: &a}.pipeline() }

// tryPipeline is acquirePipeline in the general case: for shared holders, expired ones, dead waiters.
func tryPipeline(a acquisition) bson.A { return transition{join: &a, atOnce: true}.pipeline() }

// leavePipeline takes out a holder or a waiter, and does no harm if it is neither.
func leavePipeline(holderID string) bson.A {
	return transition{drop: op("$eq", "$$h.id", literal(holderID)), dropped: EventReleased, withdraw: holderID}.pipeline()
}

func leaveFilter(ref grantRef) bson.D {
	return append(byID(ref.lock), bson.E{Key: "$or", Value: bson.A{
		bson.D{{Key: "state.holders.id", Value: ref.holderID}},
		bson.D{{Key: "state.waiters.id", Value: ref.holderID}},
	}})
}

// holdFilter is for one who has held the lock: what a late send of its acquisition may have put into the queue is no business of its release.
func holdFilter(ref grantRef) bson.D {
	return append(byID(ref.lock), bson.E{Key: "state.holders.id", Value: ref.holderID})
}

func evictPipeline(token int64, reason string) bson.A {
	return transition{drop: op("$eq", "$$h.token", literal(token)), dropped: EventEvicted, reason: reason}.pipeline()
}

func evictFilter(lock string, token int64) bson.D {
	return append(byID(lock), bson.E{Key: "state.holders.token", Value: token})
}

// sweepPipeline records what has ended unnoticed; it changes nothing if nothing has.
func sweepPipeline() bson.A { return transition{}.pipeline() }

func policyPipeline(p policy) bson.A { return transition{policy: &p}.pipeline() }

// pipeline computes the change step by step in a temporary field, t, from the input document, and then sets the state, or leaves it
// as it is to the byte.
func (t transition) pipeline() bson.A {
	set := func(name string, value any) bson.D { return stage("$set", bson.D{{Key: name, Value: value}}) }
	stages := bson.A{}
	if t.policy != nil {
		stages = append(stages, set("t.decided", op("$ne", "$policy", literal(*t.policy))), set("policy", literal(*t.policy)))
	}
	stages = append(stages, stage("$set", bson.D{
		{Key: "t.live", Value: t.live()},
		{Key: "t.gone", Value: where("h", "$state.holders", op("$not", bson.A{t.stays()}))},
		{Key: "t.queue", Value: t.queue()},
	}))
	if t.join != nil {
		stages = append(stages, set("t.queue", t.joined()))
	}
	stages = append(stages,
		set("t.gone", numbered("$t.gone", op("$size", "$t.gone"))),
		set("t.n", t.room()),
		set("t.heads", numbered("$t.queue", "$t.n")),
		set("t.holders", op("$concatArrays", "$t.live", t.granted())),
		set("state", op("$cond", t.changes(), t.after(), "$state")),
		stage("$unset", "t"))
	return stages
}

// stays is true of a holder that is live and is not dropped.
func (t transition) stays() any {
	live := op("$gt", "$$h.expiresAt", "$$NOW")
	if t.drop == nil {
		return live
	}
	return op("$and", live, op("$not", bson.A{t.drop}))
}

// live are the holders that stay. One that confirms gets the lease that it asked for.
func (t transition) live() any {
	live := where("h", "$state.holders", t.stays())
	if t.join == nil || t.atOnce {
		return live
	}
	confirms := op("$and", op("$eq", "$$h.id", literal(t.join.holderID)), op("$eq", "$$h.pending", true))
	confirmed := op("$mergeObjects", "$$h", bson.D{
		{Key: "expiresAt", Value: op("$add", "$$NOW", "$$h.lease")},
		{Key: "pending", Value: false},
	})
	return forEach("h", live, op("$cond", confirms, confirmed, "$$h"))
}

// queue are the waiters that stay. The one that asks is alive, whatever its entry says.
func (t transition) queue() any {
	stays := op("$gt", "$$w.expiresAt", "$$NOW")
	if t.withdraw != "" {
		stays = op("$and", stays, op("$ne", "$$w.id", literal(t.withdraw)))
	}
	if t.join != nil {
		stays = op("$or", stays, op("$eq", "$$w.id", literal(t.join.holderID)))
	}
	return where("w", "$state.waiters", stays)
}

// joined is the queue with the one that asks.
func (t transition) joined() any {
	id := literal(t.join.holderID)
	until := op("$add", "$$NOW", waiterLease.Milliseconds())
	entry := bson.D{
		{Key: "id", Value: id},
		{Key: "owner", Value: literal(t.join.owner)},
		{Key: "mode", Value: t.join.mode},
		{Key: "lease", Value: literal(t.join.leaseMS)},
		{Key: "since", Value: "$$NOW"},
		{Key: "expiresAt", Value: until},
		{Key: "meta", Value: literal(t.join.meta)},
	}
	var longer any = op("$concatArrays", "$t.queue", bson.A{entry})
	if t.atOnce && t.join.barge {
		longer = bson.A{entry}
	}
	refreshed := forEach("w", "$t.queue", op("$cond", op("$eq", "$$w.id", id),
		op("$mergeObjects", "$$w", bson.D{{Key: "expiresAt", Value: until}}), "$$w"))
	branches := bson.A{
		bson.D{{Key: "case", Value: op("$in", id, "$t.live.id")}, {Key: "then", Value: "$t.queue"}},
		bson.D{{Key: "case", Value: op("$in", id, "$t.queue.id")}, {Key: "then", Value: refreshed}},
	}
	if !t.join.barge { // who passes the queue does not mind whether it is full
		branches = append(branches,
			bson.D{{Key: "case", Value: op("$gte", op("$size", "$t.queue"), MaxWaiters)}, {Key: "then", Value: "$t.queue"}})
	}
	return op("$switch", bson.D{{Key: "branches", Value: branches}, {Key: "default", Value: longer}})
}

// room is how many of the queue, from its head, are granted the lock now.
func (t transition) room() any {
	waiting := op("$size", "$t.queue")
	firstExclusive := op("$indexOfArray", "$t.queue.mode", modeExclusive)
	sharing := op("$cond", op("$lt", firstExclusive, 0), waiting, firstExclusive)
	free := op("$max", 0, op("$subtract", "$policy.capacity", op("$size", "$t.live")))
	when := func(cond, then any) bson.D { return bson.D{{Key: "case", Value: cond}, {Key: "then", Value: then}} }
	room := op("$switch", bson.D{
		{Key: "branches", Value: bson.A{
			when(op("$or", "$policy.suspended", op("$eq", waiting, 0)), 0),
			when(op("$eq", firstExclusive, 0), op("$cond", op("$eq", "$t.live", bson.A{}), 1, 0)),
			when(op("$in", modeExclusive, "$t.live.mode"), 0),
		}},
		{Key: "default", Value: op("$min", sharing, free)},
	})
	if t.join == nil || !t.atOnce {
		return room
	}
	// The one that asks is the last. It is not, or nobody is, unless all before it are granted the lock too.
	asks := op("$in", literal(t.join.holderID), "$t.queue.id")
	return op("$cond", op("$and", asks, op("$eq", room, waiting)), room, 0)
}

// granted makes holders of the heads of the queue. Only the one that asks knows of it now; the others have to confirm.
func (t transition) granted() any {
	lease := op("$min", "$$w.lease", "$policy.maxLease")
	unconfirmed := op("$min", lease, confirmTime.Milliseconds())
	var asks any = false
	if t.join != nil {
		asks = op("$eq", "$$w.id", literal(t.join.holderID))
	}
	return forEach("w", "$t.heads", bson.D{
		{Key: "id", Value: "$$w.id"},
		{Key: "owner", Value: "$$w.owner"},
		{Key: "mode", Value: "$$w.mode"},
		{Key: "token", Value: op("$add", nextToken(), op("$toLong", "$$w.i"))},
		{Key: "lease", Value: lease},
		{Key: "acquiredAt", Value: "$$NOW"},
		{Key: "expiresAt", Value: op("$add", "$$NOW", op("$cond", asks, lease, unconfirmed))},
		{Key: "rev", Value: literal(int64(0))},
		{Key: "meta", Value: "$$w.meta"},
		{Key: "pending", Value: op("$not", bson.A{asks})},
	})
}

// changes is whether anything is to be written. A waiter's refresh is, unless there was no place for it.
func (t transition) changes() any {
	moved := op("$or", op("$gt", "$t.n", 0), op("$ne", "$t.gone", bson.A{}))
	switch {
	case t.join != nil && t.atOnce:
		return op("$gt", "$t.n", 0)
	case t.join != nil:
		return op("$in", literal(t.join.holderID), op("$concatArrays", "$t.queue.id", "$t.holders.id"))
	case t.drop != nil:
		return true
	case t.policy != nil:
		return op("$or", "$t.decided", moved)
	}
	return moved
}

// after is the state after the change.
func (t transition) after() bson.D {
	n := op("$toLong", "$t.n")
	gone := op("$toLong", op("$size", "$t.gone"))
	var changed any = "$$NOW"
	if t.join != nil && !t.atOnce { // a refresh, like a renewal, is no transition
		stood := op("$in", literal(t.join.holderID), op("$concatArrays", "$state.waiters.id", "$state.holders.id"))
		idle := op("$and", stood, op("$eq", "$t.n", 0), op("$eq", "$t.gone", bson.A{}))
		changed = op("$cond", idle, "$state.changedAt", "$$NOW")
	}
	var waiters any = op("$slice", "$t.queue", "$t.n", MaxWaiters+1)
	if t.join != nil && t.join.barge {
		waiters = "$state.waiters"
	}
	return bson.D{
		{Key: "holders", Value: "$t.holders"},
		{Key: "waiters", Value: waiters},
		{Key: "fence", Value: op("$cond", op("$gt", "$t.n", 0), op("$subtract", op("$add", nextToken(), n), int64(1)), "$state.fence")},
		{Key: "grants", Value: op("$add", "$state.grants", n)},
		{Key: "seq", Value: op("$add", "$state.seq", gone, n)},
		{Key: "events", Value: appendEvents(t.endings(), forEach("w", "$t.heads", bson.D{
			{Key: "seq", Value: op("$add", "$state.seq", gone, op("$toLong", "$$w.i"), int64(1))},
			{Key: "type", Value: string(EventAcquired)},
			{Key: "owner", Value: "$$w.owner"},
			{Key: "token", Value: op("$add", nextToken(), op("$toLong", "$$w.i"))},
			{Key: "at", Value: "$$NOW"},
		}))},
		{Key: "changedAt", Value: changed},
		{Key: "endsAt", Value: op("$min", "$t.holders.expiresAt")},
		{Key: "purgeAt", Value: t.purgeAt()},
	}
}

// endings are the events of the holders that are gone: dropped while they were live, or expired before.
func (t transition) endings() any {
	ending := bson.D{
		{Key: "seq", Value: op("$add", "$state.seq", op("$toLong", "$$h.i"), int64(1))},
		{Key: "type", Value: string(EventExpired)},
		{Key: "owner", Value: "$$h.owner"},
		{Key: "token", Value: "$$h.token"},
		{Key: "at", Value: "$$h.expiresAt"},
	}
	if t.drop != nil {
		live := op("$gt", "$$h.expiresAt", "$$NOW")
		ending[1].Value = op("$cond", live, string(t.dropped), string(EventExpired))
		ending[4].Value = op("$cond", live, "$$NOW", "$$h.expiresAt")
		if t.reason != "" {
			ending = append(ending, bson.E{Key: "reason", Value: op("$cond", live, literal(t.reason), "")})
		}
	}
	return forEach("h", "$t.gone", ending)
}

// purgeAt is never before the end of a lease or of a waiter's.
func (t transition) purgeAt() any {
	used := op("$max", op("$max", "$t.holders.expiresAt"), op("$add", "$$NOW", waiterLease.Milliseconds()))
	switch {
	case t.policy == nil:
		return op("$max", "$state.purgeAt", used)
	case t.policy.Retain:
		return never
	}
	return used
}

// numbered is the first n documents of an array, each with its index, i.
func numbered(array string, n any) bson.D {
	return forEach("i", op("$range", 0, n),
		op("$mergeObjects", op("$arrayElemAt", array, "$$i"), bson.D{{Key: "i", Value: "$$i"}}))
}
