//go:build linux

/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package main

import (
	"context"
	"fmt"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/mongo/readconcern"
	"go.mongodb.org/mongo-driver/v2/mongo/readpref"
	"go.mongodb.org/mongo-driver/v2/mongo/writeconcern"
)

// floor is no lock: it makes the two cheapest commands that acquire and release could consist of, on a plain document, with the
// concerns that mongolock has. No lock in MongoDB can be faster.
type floor struct {
	coll *mongo.Collection
	n    int
}

// newFloor makes a document for each worker.
func newFloor(ctx context.Context, db *mongo.Database, workers int) (*floor, error) {
	f := &floor{coll: db.Collection("floor", options.Collection().
		SetWriteConcern(writeconcern.Majority()).
		SetReadConcern(readconcern.Majority()).
		SetReadPreference(readpref.Primary()))}
	for i := range workers {
		if _, err := f.coll.InsertOne(ctx, bson.D{{Key: "_id", Value: floorID(i)}, {Key: "x", Value: 0}}); err != nil {
			return nil, fmt.Errorf("insert the documents of the floor: %w", err)
		}
	}
	return f, nil
}

func floorID(i int) string { return fmt.Sprintf("floor/%d", i) }

func (f *floor) contender() contender {
	return contender{
		name: floorName,
		cycle: func(ctx context.Context, n int) (samples, error) {
			return timed(ctx, n, func() error { f.n += 2; return f.both(ctx, 0, f.n) })
		},
		denied: func(ctx context.Context, n int) (samples, error) {
			return timed(ctx, n, func() error { f.n += 2; return f.findAndUpdate(ctx, 0, f.n) })
		},
		throughput: func(ctx context.Context, d time.Duration, workers int) (float64, error) {
			counts := make([]int, workers)
			f.n++ // so that each round sets other values
			return perSecond(d, workers, func(i int) error {
				counts[i] += 2
				return f.both(ctx, i, f.n<<32+counts[i])
			})
		},
	}
}

// both sets another value with each command: setting the same would change nothing and cost less.
func (f *floor) both(ctx context.Context, i, n int) error {
	if err := f.findAndUpdate(ctx, i, n); err != nil {
		return err
	}
	result, err := f.coll.UpdateOne(ctx, bson.D{{Key: "_id", Value: floorID(i)}}, setX(n+1))
	if err == nil && result.ModifiedCount != 1 {
		return fmt.Errorf("the update modified %d documents", result.ModifiedCount)
	}
	return err
}

func (f *floor) findAndUpdate(ctx context.Context, i, n int) error {
	after := options.FindOneAndUpdate().SetReturnDocument(options.After)
	var doc struct{ X int }
	err := f.coll.FindOneAndUpdate(ctx, bson.D{{Key: "_id", Value: floorID(i)}}, setX(n), after).Decode(&doc)
	if err == nil && doc.X != n {
		return fmt.Errorf("the update returned %d instead of %d", doc.X, n)
	}
	return err
}

func setX(n int) bson.D { return bson.D{{Key: "$set", Value: bson.D{{Key: "x", Value: n}}}} }
