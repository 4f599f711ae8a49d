/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package servers_test

import (
	"context"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/mongolock/operator/hack/servers/servertest"
)

// connect returns a client that tries nothing twice, so that it shows each error.
func connect(t *testing.T, uri string) *mongo.Client {
	t.Helper()
	client, err := mongo.Connect(options.Client().ApplyURI(uri).SetRetryWrites(false).SetRetryReads(false))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := client.Disconnect(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	return client
}

// createFeed makes a capped collection with one document, without which no cursor of the feed store lives.
func createFeed(t *testing.T, client *mongo.Client, database string) *mongo.Collection {
	t.Helper()
	capped := options.CreateCollection().SetCapped(true).SetSizeInBytes(1 << 20)
	if err := client.Database(database).CreateCollection(t.Context(), "feed", capped); err != nil {
		t.Fatal(err)
	}
	feed := client.Database(database).Collection("feed")
	if _, err := feed.InsertOne(t.Context(), bson.D{{Key: "n", Value: 0}}); err != nil {
		t.Fatal(err)
	}
	return feed
}

func TestFeedDeliversWhatIsInsertedLater(t *testing.T) {
	database := servertest.Database(t)
	reader, writer := connect(t, servertest.FeedURI()), connect(t, servertest.FeedURI())
	createFeed(t, writer, database)

	// So long that the insert is not at the end of the wait.
	tail := options.Find().SetCursorType(options.TailableAwait).SetBatchSize(1).SetMaxAwaitTime(10 * time.Second)
	cursor, err := reader.Database(database).Collection("feed").Find(t.Context(), bson.D{}, tail)
	if err != nil {
		t.Fatal(err)
	}
	defer cursor.Close(t.Context()) //nolint:errcheck // the server ends with the tests
	for n := range 3 {
		if n > 0 {
			if _, err := writer.Database(database).Collection("feed").InsertOne(t.Context(), bson.D{{Key: "n", Value: n}}); err != nil {
				t.Fatal(err)
			}
		}
		if !cursor.Next(t.Context()) {
			t.Fatalf("the cursor ended: %v", cursor.Err())
		}
		if got := cursor.Current.Lookup("n").AsInt64(); got != int64(n) {
			t.Fatalf("document %d, want %d", got, n)
		}
	}
}
