//go:build linux

/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

// Package controls has locks that are wrong on purpose: each has one bug that locks on MongoDB really had. A rig that does not find them
// finds nothing. They are no part of the product.
package controls

import (
	"context"
	"fmt"
	"slices"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/mongo/writeconcern"

	"github.com/mongolock/operator/hack/torture/locker"
	"github.com/mongolock/operator/pkg/mongolock"
)

// The controls.
const (
	// OwnerlessRelease releases by the lock's name alone: who comes back late frees the next holder's lock.
	OwnerlessRelease = "ownerless-release"
	// ClientClock compares the end of a lease with the clock of whoever asks.
	ClientClock = "client-clock"
	// BlindRenewal renews by the lock's name alone, as an upsert does, and believes in what it wrote: who comes back late takes the
	// lock from the next holder. mongo-dlock does that.
	BlindRenewal = "blind-renewal"
)

// Names are all controls.
var Names = []string{OwnerlessRelease, ClientClock, BlindRenewal}

const (
	collection  = "control"
	pollPeriod  = 50 * time.Millisecond
	callTimeout = 5 * time.Second
)

// Control is a lock in one document with an owner, a token and an end, and with one bug.
type Control struct {
	bug        string
	clockError time.Duration
	driver     *mongo.Client
	locks      *mongo.Collection
}

type document struct {
	Owner string `bson:"owner"`
	Token int64  `bson:"token"`
}

// Open connects to the control of that name. clockError is by how much this process's clock is wrong.
func Open(ctx context.Context, name, uri, database string, clockError time.Duration) (*Control, error) {
	if !slices.Contains(Names, name) {
		return nil, fmt.Errorf("there is no control %q; there are %q", name, Names)
	}
	driver, err := mongo.Connect(options.Client().ApplyURI(uri).SetWriteConcern(writeconcern.Majority()))
	if err != nil {
		return nil, err
	}
	c := &Control{bug: name, clockError: clockError, driver: driver, locks: driver.Database(database).Collection(collection)}
	return c, driver.Ping(ctx, nil)
}

// Close disconnects.
func (c *Control) Close(ctx context.Context) error { return c.driver.Disconnect(ctx) }

// now is what a pipeline takes for the time.
func (c *Control) now() any {
	if c.bug == ClientClock {
		return time.Now().Add(c.clockError)
	}
	return "$$NOW"
}

// TryLock takes the lock if its lease has ended.
func (c *Control) TryLock(ctx context.Context, lock string, a locker.Acquisition) (locker.Grant, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	free := bson.D{{Key: "_id", Value: lock}, {Key: "owner", Value: ""}, {Key: "token", Value: int64(0)}, {Key: "until", Value: time.UnixMilli(0)}}
	if _, err := c.locks.InsertOne(ctx, free); err != nil && !mongo.IsDuplicateKeyError(err) {
		return nil, fmt.Errorf("%w: %w", mongolock.ErrUnreachable, err)
	}
	when := func(then, otherwise any) bson.D {
		return bson.D{{Key: "$cond", Value: bson.A{"$free", then, otherwise}}}
	}
	sum := func(x, y any) bson.D { return bson.D{{Key: "$add", Value: bson.A{x, y}}} }
	sent := time.Now()
	var doc document
	err := c.locks.FindOneAndUpdate(ctx, bson.D{{Key: "_id", Value: lock}}, mongo.Pipeline{
		{{Key: "$set", Value: bson.D{{Key: "free", Value: bson.D{{Key: "$lte", Value: bson.A{"$until", c.now()}}}}}}},
		{{Key: "$set", Value: bson.D{
			{Key: "owner", Value: when(bson.D{{Key: "$literal", Value: a.Owner}}, "$owner")},
			{Key: "token", Value: when(sum("$token", int64(1)), "$token")},
			{Key: "until", Value: when(sum(c.now(), a.Lease.Milliseconds()), "$until")},
		}}},
		{{Key: "$unset", Value: "free"}},
	}, options.FindOneAndUpdate().SetReturnDocument(options.After)).Decode(&doc)
	switch {
	case err != nil:
		return nil, fmt.Errorf("%w: %w", mongolock.ErrOutcomeUnknown, err)
	case doc.Owner != a.Owner:
		return nil, &mongolock.HeldError{Lock: lock, Owner: doc.Owner, Token: doc.Token}
	}
	return newGrant(ctx, c, lock, a, doc.Token, sent), nil
}

// Lock tries again and again.
func (c *Control) Lock(ctx context.Context, lock string, a locker.Acquisition) (locker.Grant, error) {
	tick := time.NewTicker(pollPeriod)
	defer tick.Stop()
	for {
		grant, err := c.TryLock(ctx, lock, a)
		if err == nil || locker.Holder(err) == 0 {
			return grant, err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil, err
		}
	}
}
