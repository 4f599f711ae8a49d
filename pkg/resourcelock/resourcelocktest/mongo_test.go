/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package resourcelocktest_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	rl "k8s.io/client-go/tools/leaderelection/resourcelock"

	"github.com/mongolock/operator/hack/faultproxy"
	"github.com/mongolock/operator/hack/servers/servertest"
	"github.com/mongolock/operator/pkg/mongolock"
	"github.com/mongolock/operator/pkg/resourcelock"
	"github.com/mongolock/operator/pkg/resourcelock/resourcelocktest"
)

// mongoBackend is an election in a database of its own. Each candidate has a client and a proxy of its own.
func mongoBackend(t testing.TB) resourcelocktest.Backend {
	database := servertest.Database(t)
	driver, err := mongo.Connect(options.Client().ApplyURI(servertest.MongoDBURI()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = driver.Disconnect(context.WithoutCancel(t.Context())) })
	admin := connect(t, servertest.MongoDBURI(), database)
	return resourcelocktest.Backend{
		Timings: timings,
		New: func(t testing.TB, identity string, lease time.Duration) resourcelocktest.Candidate {
			proxy, err := faultproxy.Start(servertest.MongoDBURI())
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(proxy.Close)
			lock, err := resourcelock.New(connect(t, proxy.URI(), database), resourcelock.Config{
				Namespace: namespace, Name: "leader", Identity: identity, LeaseDuration: lease,
			})
			if err != nil {
				t.Fatal(err)
			}
			return resourcelocktest.Candidate{Lock: lock, Lost: lock.Lost, Token: lock.Token, Connection: mongoConnection{proxy}}
		},
		Delete: func(t testing.TB) {
			result, err := driver.Database(database).Collection(mongolock.DefaultCollection).
				DeleteOne(t.Context(), bson.D{{Key: "_id", Value: namespace + "/leader"}})
			if err != nil || result.DeletedCount != 1 {
				t.Errorf("delete: %v, %v", result, err)
			}
		},
		Seize: func(t testing.TB, by rl.Interface) {
			seize(t, by, timings.LeaseDuration, func(ctx context.Context) error {
				state, err := admin.Get(ctx, namespace+"/leader")
				if err != nil || !state.Held() {
					return err
				}
				err = admin.Evict(ctx, state.ID, state.Holders[0].Token, "a test")
				if errors.Is(err, mongolock.ErrNotHeld) { // it has just ended
					return nil
				}
				return err
			})
		},
	}
}

func connect(t testing.TB, uri, database string) *mongolock.Client {
	client, err := mongolock.Connect(t.Context(), uri, mongolock.WithDatabase(database))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), time.Second)
		defer cancel()
		_ = client.Close(ctx) // through a proxy that may have a fault
	})
	return client
}

type mongoConnection struct{ *faultproxy.Proxy }

// LoseReply implements [resourcelocktest.Connection].
func (c mongoConnection) LoseReply() <-chan struct{} {
	return c.Inject(faultproxy.Fault{Kind: faultproxy.DropReply, Match: func(command bson.Raw) bool {
		first := command.Index(0)
		collection, _ := first.Value().StringValueOK()
		return (first.Key() == "findAndModify" || first.Key() == "update") && collection == mongolock.DefaultCollection
	}}).Fired()
}
