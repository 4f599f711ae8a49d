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
)

// prepare makes sure that the server can run the engine and that the collection has its indexes.
func (s *mongoStore) prepare(ctx context.Context, grace time.Duration) error {
	ctx = outside(ctx)
	if err := s.selfTest(ctx); err != nil {
		return err
	}
	return s.ensureIndexes(ctx, grace)
}

// ensureIndexes creates the indexes; where the TTL index stands with another period, that is changed, unless grace is 0.
func (s *mongoStore) ensureIndexes(ctx context.Context, grace time.Duration) error {
	seconds := int32(cmp.Or(grace, DefaultGrace) / time.Second)
	ttl := mongo.IndexModel{
		Keys: bson.D{{Key: "expiresAt", Value: 1}},
		// Partial: in a collection that is not ours alone, other documents may have such a field too.
		Options: options.Index().SetName(ttlIndex).SetExpireAfterSeconds(seconds).
			SetPartialFilterExpression(bson.D{{Key: "v", Value: schemaVersion}}),
	}
	changed := mongo.IndexModel{
		Keys:    bson.D{{Key: "changedAt", Value: 1}},
		Options: options.Index().SetName(changedIndex),
	}
	_, err := s.coll.Indexes().CreateMany(ctx, []mongo.IndexModel{ttl, changed})
	if isIndexConflict(err) {
		if grace != 0 {
			if err := s.setGrace(ctx, seconds); err != nil {
				return err
			}
		}
		_, err = s.coll.Indexes().CreateMany(ctx, []mongo.IndexModel{changed})
	}
	return classify(fmt.Sprintf("create the indexes %s and %s", ttlIndex, changedIndex), err)
}

func (s *mongoStore) setGrace(ctx context.Context, seconds int32) error {
	err := s.coll.Database().RunCommand(ctx, bson.D{
		{Key: "collMod", Value: s.coll.Name()},
		{Key: "index", Value: bson.D{{Key: "name", Value: ttlIndex}, {Key: "expireAfterSeconds", Value: seconds}}},
	}).Err()
	return classify(fmt.Sprintf("give the index %s expireAfterSeconds %d, which needs the privilege collMod (role dbAdmin); or do without "+
		"WithGrace, and have no index of your own on expiresAt", ttlIndex, seconds), err)
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

	granted, err := s.testAcquire(ctx, first, second)
	if err != nil {
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
	return s.testExpiry(ctx, second, granted.Fence)
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
	if still, ok := refused.grant(first.holderID); !ok || still.Token != h.Token || refused.Seq != granted.Seq {
		return nil, unsupported("$cond: a held lock was granted again", nil)
	}
	return granted, nil
}

// testExpiry has a grant expire: its token must be the largest so far, and renewing it must not count as done.
func (s *mongoStore) testExpiry(ctx context.Context, a acquisition, fence int64) error {
	a.leaseMS = 1
	granted, err := s.acquire(ctx, a)
	if err != nil {
		return unsupported("a grant after a release", err)
	}
	if _, ok := granted.grant(a.holderID); !ok || granted.Fence <= fence {
		return unsupported("$filter, $max or $add: a released lock was not granted with a larger token", nil)
	}
	if err := pause(ctx, 5*time.Millisecond); err != nil {
		return err
	}
	fates, err := s.renew(ctx, []grantRef{{lock: a.lock, holderID: a.holderID}})
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
