/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/mongolock/operator/hack/supervise"
)

const (
	replicaSet = "rs0"
	retryEvery = 50 * time.Millisecond
	// alreadyInitialized is MongoDB's code for a second replSetInitiate: the first one's answer was lost.
	alreadyInitialized = 23
)

// initiate makes the server at address, which uri connects to, a replica set of one, and waits until it is the primary.
func initiate(ctx context.Context, s *supervise.Session, address, uri string) error {
	config := bson.D{{Key: "replSetInitiate", Value: bson.D{
		{Key: "_id", Value: replicaSet},
		{Key: "members", Value: bson.A{bson.D{{Key: "_id", Value: 0}, {Key: "host", Value: address}}}},
	}}}
	err := await(ctx, s, uri, func(ctx context.Context, admin *mongo.Database) error {
		err := admin.RunCommand(ctx, config).Err()
		var refused mongo.CommandError
		if errors.As(err, &refused) && refused.HasErrorCode(alreadyInitialized) {
			return nil
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("initiate the replica set: %w", err)
	}
	return awaitPrimary(ctx, s, uri)
}

// awaitPrimary waits until the server that uri connects to is the primary of its replica set.
func awaitPrimary(ctx context.Context, s *supervise.Session, uri string) error {
	err := await(ctx, s, uri, func(ctx context.Context, admin *mongo.Database) error {
		var hello struct{ IsWritablePrimary bool }
		if err := admin.RunCommand(ctx, bson.D{{Key: "hello", Value: 1}}).Decode(&hello); err != nil {
			return err
		}
		if !hello.IsWritablePrimary {
			return errors.New("no primary yet")
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("wait for the primary: %w", err)
	}
	return nil
}

func replicaSetURI(address string) string {
	return "mongodb://" + address + "/?replicaSet=" + replicaSet
}

func direct(address string) string { return "mongodb://" + address + "/?directConnection=true" }

// ping waits until the server at uri answers a ping.
func ping(ctx context.Context, s *supervise.Session, uri string) error {
	return await(ctx, s, uri, func(ctx context.Context, admin *mongo.Database) error {
		return admin.RunCommand(ctx, bson.D{{Key: "ping", Value: 1}}).Err()
	})
}

// await is retry with a client of the server at uri.
func await(ctx context.Context, s *supervise.Session, uri string, step func(context.Context, *mongo.Database) error) error {
	client, err := mongo.Connect(options.Client().ApplyURI(uri).SetServerSelectionTimeout(time.Second))
	if err != nil {
		return err
	}
	defer client.Disconnect(ctx) //nolint:errcheck // this program's own connections end with it at the latest

	return retry(ctx, s, func(ctx context.Context) error { return step(ctx, client.Database("admin")) })
}

// retry calls step until it succeeds, the context ends or a process of the session ends.
func retry(ctx context.Context, s *supervise.Session, step func(context.Context) error) error {
	tick := time.NewTicker(retryEvery)
	defer tick.Stop()
	for {
		stepCtx, cancel := context.WithTimeout(ctx, 5*time.Second)
		err := step(stepCtx)
		cancel()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w; last: %w", context.Cause(ctx), err)
		case reason := <-s.Ended():
			return reason
		case <-tick.C:
		}
	}
}
