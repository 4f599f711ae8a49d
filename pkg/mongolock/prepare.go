/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package mongolock

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

const (
	ttlIndex     = "mongolock_ttl"
	changedIndex = "mongolock_changed"
	endsIndex    = "mongolock_ends"
)

// prepare makes sure that the server can run the engine. It tells whether the server purges unused locks, which the client must do
// otherwise.
func (s *mongoStore) prepare(ctx context.Context, grace time.Duration) (purges bool, err error) {
	ctx = outside(ctx)
	if err := s.selfTest(ctx); err != nil {
		return false, err
	}
	cheap, err := s.indexesAreCheap(ctx)
	if err != nil || !cheap {
		return false, err
	}
	return true, s.ensureIndexes(ctx, grace)
}

// indexesAreCheap tells whether the server can keep indexes at little cost. Servers on DocumentDB cannot: they store a document as one
// column of a PostgreSQL table, so with any index at all each update writes to all of them, and leaves a row behind for the next one to
// step over; acquire and release then take a fifth to a half more time. Without, looking for changes and for ended leases reads the
// whole collection, which even of ten thousand locks takes less time than writing the indexes for their renewals; docs/design.md has
// the figures. MongoDB's own servers are known by the topologyVersion that their hello has had since 4.4.
func (s *mongoStore) indexesAreCheap(ctx context.Context) (bool, error) {
	return isMongoDB(ctx, s.coll.Database())
}

// isMongoDB tells whether the server is one of MongoDB's own.
func isMongoDB(ctx context.Context, db *mongo.Database) (bool, error) {
	reply, err := db.RunCommand(ctx, bson.D{{Key: "hello", Value: 1}}).Raw()
	var server mongo.ServerError
	if errors.As(err, &server) && server.HasErrorCode(59) { // unknown until 4.4.2
		reply, err = db.RunCommand(ctx, bson.D{{Key: "isMaster", Value: 1}}).Raw()
	}
	if err != nil {
		return false, classify("ask the server what it is", err)
	}
	_, err = reply.LookupErr("topologyVersion")
	return err == nil, nil
}

// ensureIndexes creates the indexes; where the TTL index stands with another period, that is changed, unless grace is 0.
func (s *mongoStore) ensureIndexes(ctx context.Context, grace time.Duration) error {
	seconds := int32(cmp.Or(grace, DefaultGrace) / time.Second) //nolint:gosec // validated: at most maxGrace
	ttl := mongo.IndexModel{
		Keys: bson.D{{Key: "state.purgeAt", Value: 1}},
		// Partial: in a collection that is not ours alone, other documents may have such a field too.
		Options: options.Index().SetName(ttlIndex).SetExpireAfterSeconds(seconds).
			SetPartialFilterExpression(bson.D{{Key: "v", Value: schemaVersion}}),
	}
	others := []mongo.IndexModel{
		{Keys: bson.D{{Key: "state.changedAt", Value: 1}}, Options: options.Index().SetName(changedIndex)},
		{Keys: bson.D{{Key: "state.endsAt", Value: 1}}, Options: options.Index().SetName(endsIndex)},
	}
	_, err := s.coll.Indexes().CreateMany(ctx, append(others, ttl))
	if isIndexConflict(err) {
		if grace != 0 {
			if err := s.setGrace(ctx, seconds); err != nil {
				return err
			}
		}
		_, err = s.coll.Indexes().CreateMany(ctx, others)
	}
	return classify(fmt.Sprintf("create the indexes %s, %s and %s", ttlIndex, changedIndex, endsIndex), err)
}

func (s *mongoStore) setGrace(ctx context.Context, seconds int32) error {
	err := s.coll.Database().RunCommand(ctx, bson.D{
		{Key: "collMod", Value: s.coll.Name()},
		{Key: "index", Value: bson.D{{Key: "name", Value: ttlIndex}, {Key: "expireAfterSeconds", Value: seconds}}},
	}).Err()
	return classify(fmt.Sprintf("give the index %s expireAfterSeconds %d, which needs the privilege collMod (role dbAdmin); or do without "+
		"WithGrace, and have no index of your own on state.purgeAt", ttlIndex, seconds), err)
}

// isIndexConflict: an index of this name or these keys exists with other options.
func isIndexConflict(err error) bool {
	var server mongo.ServerError
	return errors.As(err, &server) && hasCode(server, []int{85, 86})
}

// selfTest runs the engine's commands on a scratch document and looks at what they did. Servers lie about their versions; what they
// compute they cannot hide.
func (s *mongoStore) selfTest(ctx context.Context) (err error) {
	first := acquisition{
		lock: scratchPrefix + newUUID(), holderID: newHolderID(), owner: "$fence", mode: modeExclusive, leaseMS: 60_000,
		meta: []metaPair{{Key: "$add", Value: "$$NOW"}},
	}
	second := first
	second.holderID = newHolderID()
	defer func() {
		cleanup, cancel := cleanupContext(ctx)
		defer cancel()
		_, deleteErr := s.coll.DeleteOne(cleanup, bson.D{{Key: "_id", Value: first.lock}})
		if err == nil {
			err = classify("delete the self-test's scratch document", deleteErr)
		}
	}()

	granted, err := s.testAcquire(ctx, first, second)
	if err != nil {
		return err
	}
	held, _ := granted.grant(first.holderID)
	fates, err := s.renew(ctx, []grant{{grantRef: first.ref(), token: held.Token}})
	if err != nil {
		return unsupported("updateMany with $map", err)
	}
	if fates[0] != fateRenewed {
		return unsupported("exact counts from updateMany", nil)
	}
	if err := s.testHandOver(ctx, first, second, held.Token); err != nil {
		return err
	}
	return s.testExpiry(ctx, first)
}

// testHandOver has the second acquisition wait, be handed the lock, confirm, and give it back.
func (s *mongoStore) testHandOver(ctx context.Context, first, second acquisition, token int64) error {
	waiting, err := s.queue(ctx, second)
	if err != nil {
		return unsupported("an update with $switch, $range and $indexOfArray", err)
	}
	if waiting.Place != 0 || waiting.Queued != 1 {
		return unsupported("$indexOfArray or $size in a projection", nil)
	}
	gone, err := s.release(ctx, grant{grantRef: first.ref(), owner: first.owner, token: token})
	if err != nil {
		return unsupported("an update with $filter and $arrayElemAt", err)
	}
	if gone.how != exitDone || len(gone.to) != 1 || gone.to[0] != second.holderID {
		return unsupported("$slice or $concatArrays: a released lock was not handed over", nil)
	}
	taken, err := s.queue(ctx, second)
	if err != nil {
		return unsupported("an update of one element of an array", err)
	}
	h, ok := taken.grant(second.holderID)
	if !ok || h.Pending || h.Token <= token || h.ExpiresAt.Sub(taken.Now) != time.Minute {
		return unsupported("$mergeObjects: a lock that was handed over was not confirmed", nil)
	}
	gone, err = s.release(ctx, grant{grantRef: second.ref(), owner: second.owner, token: h.Token})
	if err != nil || gone.how != exitDone {
		return unsupported("an update that compares arrays", err)
	}
	return nil
}

// testAcquire has the first acquisition granted and the second refused.
func (s *mongoStore) testAcquire(ctx context.Context, first, second acquisition) (*document, error) {
	granted, err := s.acquire(ctx, first)
	if err != nil {
		return nil, unsupported("update with an aggregation pipeline and $$NOW", err)
	}
	h, ok := granted.grant(first.holderID)
	switch {
	case !ok || !granted.live(h) || h.ExpiresAt.Sub(h.AcquiredAt) != time.Minute || h.Token < h.AcquiredAt.UnixMilli():
		return nil, unsupported("arithmetic with $$NOW", nil)
	case h.Owner != first.owner || len(h.Meta) != 1 || h.Meta[0] != first.meta[0]:
		return nil, unsupported("$literal", nil)
	}
	refused, err := s.acquire(ctx, second)
	if err != nil {
		return nil, unsupported("a refused acquire", err)
	}
	if !refused.heldAsBefore(h) {
		return nil, unsupported("$cond: a held lock was granted again", nil)
	}
	return granted, nil
}

// heldAsBefore tells whether the lock has this one holder, unchanged. It looks only at what a try's reply has in it.
func (d *document) heldAsBefore(h holder) bool {
	still, ok := d.grant(h.ID)
	return ok && len(d.State.Holders) == 1 && still.Token == h.Token && still.ExpiresAt.Equal(h.ExpiresAt)
}

// testExpiry has a grant expire: renewing it must not count as done.
func (s *mongoStore) testExpiry(ctx context.Context, a acquisition) error {
	a.leaseMS, a.holderID = 1, newHolderID()
	granted, err := s.acquire(ctx, a)
	if err != nil {
		return unsupported("a grant after a release", err)
	}
	h, ok := granted.grant(a.holderID)
	if !ok {
		return unsupported("$eq: a released lock was not granted", nil)
	}
	if err := pause(ctx, 5*time.Millisecond); err != nil {
		return err
	}
	fates, err := s.renew(ctx, []grant{{grantRef: a.ref(), token: h.Token}})
	if err != nil {
		return unsupported("updateMany that changes nothing", err)
	}
	if fates[0] != fateGone {
		return unsupported("exact counts from updateMany: an expired grant was renewed", nil)
	}
	return nil
}

// unsupported names the feature that the server lacks; an error that says nothing about the server's features stays what it is.
func unsupported(feature string, err error) error {
	var e *storeError
	if err != nil && (!errors.As(err, &e) || e.kind != nil) {
		return err
	}
	const remedy = "use MongoDB 4.4 or later, or a server with DocumentDB 0.108 or later; Amazon DocumentDB cannot run it"
	if err != nil {
		return fmt.Errorf("%w: it does not do %s; %s: %w", ErrUnsupportedServer, feature, remedy, err)
	}
	return fmt.Errorf("%w: it does not do %s; %s", ErrUnsupportedServer, feature, remedy)
}
