/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package mongolock

import (
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
)

// prepare makes sure that the collection exists with its indexes and that the server can run the engine.
func (s *mongoStore) prepare(ctx context.Context, grace time.Duration) error {
	if err := s.ensureIndexes(ctx, grace); err != nil {
		return err
	}
	return s.selfTest(ctx)
}

// ensureIndexes creates the indexes; where the TTL index stands with another period, that is changed.
func (s *mongoStore) ensureIndexes(ctx context.Context, grace time.Duration) error {
	seconds := int32(grace / time.Second)
	ttl := mongo.IndexModel{
		Keys:    bson.D{{Key: "expiresAt", Value: 1}},
		Options: options.Index().SetName(ttlIndex).SetExpireAfterSeconds(seconds),
	}
	changed := mongo.IndexModel{
		Keys:    bson.D{{Key: "changedAt", Value: 1}},
		Options: options.Index().SetName(changedIndex),
	}
	_, err := s.coll.Indexes().CreateMany(ctx, []mongo.IndexModel{ttl, changed})
	if isIndexConflict(err) {
		err = s.coll.Database().RunCommand(ctx, bson.D{
			{Key: "collMod", Value: s.coll.Name()},
			{Key: "index", Value: bson.D{{Key: "name", Value: ttlIndex}, {Key: "expireAfterSeconds", Value: seconds}}},
		}).Err()
		if err == nil {
			_, err = s.coll.Indexes().CreateMany(ctx, []mongo.IndexModel{changed})
		}
	}
	if err != nil {
		return classify(fmt.Sprintf("create the indexes %s (expireAfterSeconds %d) and %s", ttlIndex, seconds, changedIndex), err)
	}
	return nil
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
		lock: scratchPrefix + newUUID(), holderID: newHolderID(), owner: "$fence", leaseMS: 60_000,
		meta: []metaPair{{Key: "$add", Value: "$$NOW"}},
	}
	second := first
	second.holderID = newHolderID()
	ref := grantRef{lock: first.lock, holderID: first.holderID}
	defer func() {
		cleanup, cancel := cleanupContext(ctx)
		defer cancel()
		_, deleteErr := s.coll.DeleteOne(cleanup, bson.D{{Key: "_id", Value: first.lock}})
		if err == nil {
			err = classify("delete the self-test's scratch document", deleteErr)
		}
	}()

	if err := s.testAcquire(ctx, first, second); err != nil {
		return err
	}
	fates, err := s.renew(ctx, []grantRef{ref})
	if err != nil {
		return unsupported("updateMany with $map", err)
	}
	if fates[0] != fateRenewed {
		return unsupported("exact counts from updateMany", nil)
	}
	released, err := s.release(ctx, ref)
	if err != nil {
		return unsupported("update with $filter", err)
	}
	if !released {
		return unsupported("matching elements of an array", nil)
	}
	return nil
}

// testAcquire has the first acquisition granted and the second refused.
func (s *mongoStore) testAcquire(ctx context.Context, first, second acquisition) error {
	granted, err := s.acquire(ctx, first)
	if err != nil {
		return unsupported("update with an aggregation pipeline and $$NOW", err)
	}
	h, ok := granted.grant(first.holderID)
	switch {
	case !ok || !granted.live(h) || h.ExpiresAt.Sub(h.AcquiredAt) != time.Minute || h.Token < h.AcquiredAt.UnixMilli():
		return unsupported("arithmetic with $$NOW", nil)
	case h.Owner != first.owner || len(h.Meta) != 1 || h.Meta[0] != first.meta[0]:
		return unsupported("$literal", nil)
	}
	refused, err := s.acquire(ctx, second)
	if err != nil {
		return unsupported("a refused acquire", err)
	}
	if still, ok := refused.grant(first.holderID); !ok || still.Token != h.Token || refused.Seq != granted.Seq {
		return unsupported("$cond: a held lock was granted again", nil)
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
		return fmt.Errorf("%w: it lacks %s; %s: %w", ErrUnsupportedServer, feature, remedy, err)
	}
	return fmt.Errorf("%w: it lacks %s; %s", ErrUnsupportedServer, feature, remedy)
}
