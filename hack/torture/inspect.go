//go:build linux

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

	"github.com/mongolock/operator/hack/torture/history"
	"github.com/mongolock/operator/pkg/mongolock"
)

// inspect records what is left in the database after all clients were closed.
func (n *run) inspect(ctx context.Context) error {
	left := func(format string, args ...any) {
		n.history.Write(history.Record{Leftover: &history.Leftover{What: fmt.Sprintf(format, args...)}})
	}
	names, err := n.database.ListCollectionNames(ctx, bson.D{})
	if err != nil {
		return err
	}
	expected := allLocks()
	for _, name := range names {
		if _, ok := expected[name]; !ok {
			left("a collection %q", name)
		}
	}
	for name, locks := range expected {
		client, err := mongolock.New(ctx, n.database, mongolock.WithCollection(name))
		if err != nil {
			return err
		}
		for state, err := range client.List(ctx) {
			if err != nil {
				return errors.Join(err, client.Close(ctx))
			}
			if len(state.Holders)+len(state.Waiters) > 0 {
				left("lock %q has holders %v and waiters %v", state.ID, state.Holders, state.Waiters)
			}
		}
		if err := client.Close(ctx); err != nil {
			return err
		}
		if err := n.strays(ctx, name, locks, left); err != nil {
			return err
		}
	}
	return nil
}

// soon is how far away the end of a stray document's lease may be.
const soon = 20 * time.Minute

// strays are documents that stay: none of a lock of this run, and none that a purge takes after the grace period, as it does with those of
// self-tests that a fault interrupted, and with the one with which clients take turns to purge.
func (n *run) strays(ctx context.Context, collection string, locks []string, left func(string, ...any)) error {
	cursor, err := n.database.Collection(collection).Find(ctx, bson.D{{Key: "_id", Value: bson.D{{Key: "$nin", Value: locks}}}})
	if err != nil {
		return err
	}
	var documents []bson.Raw
	if err := cursor.All(ctx, &documents); err != nil {
		return err
	}
	for _, document := range documents {
		purgeAt, ok := document.Lookup("state", "purgeAt").TimeOK()
		if !ok || time.Until(purgeAt) > soon {
			left("a document %s in %s", document.Lookup("_id"), collection)
		}
	}
	return nil
}
