/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package servers_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/mongolock/operator/hack/servers"
)

// onFerretDB starts a server of the test's own and says whether it is FerretDB, the only one that has these faults.
func onFerretDB(
	t *testing.T, start func(context.Context) (*servers.Server, error),
) (server *servers.Server, client *mongo.Client, ok bool) {
	t.Helper()
	if starts["MongoDB"] == nil {
		return nil, nil, false // it is the user's
	}
	server, client = startOwn(t, start)
	info, err := client.Database("admin").RunCommand(t.Context(), bson.D{{Key: "buildInfo", Value: 1}}).Raw()
	if err != nil {
		t.Fatal(err)
	}
	_, err = info.LookupErr("ferretdb")
	return server, client, err == nil
}

// endless runs a command that would take years, until ctx ends, and delivers its error.
func endless(ctx context.Context, documents *mongo.Collection) <-chan error {
	many := bson.D{{Key: "$range", Value: bson.A{0, 100_000}}}
	var pipeline mongo.Pipeline
	for _, field := range []string{"a", "b", "c"} {
		pipeline = append(pipeline,
			bson.D{{Key: "$addFields", Value: bson.D{{Key: field, Value: many}}}},
			bson.D{{Key: "$unwind", Value: "$" + field}})
	}
	pipeline = append(pipeline, bson.D{{Key: "$count", Value: "n"}})
	ended := make(chan error, 1)
	go func() {
		cursor, err := documents.Aggregate(ctx, pipeline)
		if err == nil {
			err = cursor.Close(ctx)
		}
		ended <- err
	}()
	return ended
}

func TestTerminateBackendsEndsRunningCommands(t *testing.T) {
	server, client, ok := onFerretDB(t, servers.StartMongoDB)
	if !ok {
		return
	}
	documents := client.Database("test").Collection("c")
	insertAtOnce(t, documents, 20)
	for range 2 {
		ended := endless(t.Context(), documents)
		select {
		case err := <-ended:
			t.Fatalf("the command ended by itself: %v", err)
		case <-time.After(500 * time.Millisecond):
		}
		if err := server.TerminateBackends(t.Context()); err != nil {
			t.Fatal(err)
		}
		select {
		case err := <-ended:
			if err == nil || t.Context().Err() != nil {
				t.Errorf("error of the running command: %v, want one of the server", err)
			}
		case <-time.After(gone):
			t.Fatalf("the command still runs after %v", gone)
		}
		insertAtOnce(t, documents, 20) // without any error
	}
	if got := count(t, documents); got != 60 {
		t.Errorf("%d documents, want 60", got)
	}
}

// off returns how far $$NOW is from the real time, less than the time that a command takes.
func off(t *testing.T, documents *mongo.Collection) time.Duration {
	t.Helper()
	now := mongo.Pipeline{{{Key: "$set", Value: bson.D{{Key: "now", Value: "$$NOW"}}}}}
	settings := options.FindOneAndUpdate().SetUpsert(true).SetReturnDocument(options.After)
	var document struct{ Now time.Time }
	err := documents.FindOneAndUpdate(t.Context(), bson.D{{Key: "_id", Value: "clock"}}, now, settings).Decode(&document)
	if err != nil {
		t.Fatal(err)
	}
	return time.Until(document.Now)
}

func TestMoveClock(t *testing.T) {
	server, client, ok := onFerretDB(t, servers.StartMongoDBWithClock)
	if !ok {
		return
	}
	documents := client.Database("test").Collection("c")
	expectOffset := func(want time.Duration) {
		t.Helper()
		// Backends that run already, and new ones.
		for range 5 {
			if got := off(t, documents); (got - want).Abs() > 5*time.Second {
				t.Errorf("the clock is off by %v, want %v", got, want)
			}
		}
	}
	expectOffset(0)
	for _, offset := range []time.Duration{time.Minute, -time.Minute, 90*time.Minute + time.Millisecond} {
		if err := server.MoveClock(t.Context(), offset); err != nil {
			t.Fatal(err)
		}
		expectOffset(offset)
	}
	if err := server.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	await(t, "the old client", func() bool { return client.Ping(t.Context(), nil) == nil })
	expectOffset(90 * time.Minute)
	if err := server.MoveClock(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	expectOffset(0)
}

// While clients write, the clock is moved to and fro: no command fails, and none hangs.
func TestMoveClockUnderLoad(t *testing.T) {
	server, client, ok := onFerretDB(t, servers.StartMongoDBWithClock)
	if !ok {
		return
	}
	documents := client.Database("test").Collection("c")
	stop := make(chan struct{})
	moved := make(chan struct{})
	go func() {
		defer close(moved)
		for offset := time.Minute; ; offset = -offset {
			if err := server.MoveClock(t.Context(), offset); err != nil {
				t.Error(err)
				return
			}
			select {
			case <-stop:
				return
			case <-time.After(20 * time.Millisecond):
			}
		}
	}()
	const batch, batches = 50, 20
	for range batches {
		insertAtOnce(t, documents, batch)
	}
	close(stop)
	<-moved
	if got := count(t, documents); got != batch*batches {
		t.Errorf("%d documents, want %d", got, batch*batches)
	}
}

func TestFaultsThatAServerHasNot(t *testing.T) {
	feed, _ := startOwn(t, servers.StartFeed)
	expectError(t, "cannot do that", feed.TerminateBackends(t.Context()))
	expectError(t, "cannot do that", feed.MoveClock(t.Context(), time.Minute))
	if starts["MongoDB"] == nil {
		return // it is the user's
	}
	server, client := startOwn(t, servers.StartMongoDB)
	expectError(t, "StartMongoDBWithClock", server.MoveClock(t.Context(), time.Minute))
	insertAtOnce(t, client.Database("test").Collection("c"), 1) // it is still there
}

// expectNoFault fails the test if the server has one of the faults, or if an error does not say why it has not.
func expectNoFault(t *testing.T, server *servers.Server, want string) {
	t.Helper()
	expectError(t, want, server.Restart(t.Context()))
	expectError(t, want, server.TerminateBackends(t.Context()))
	expectError(t, want, server.MoveClock(t.Context(), time.Minute))
}

func expectError(t *testing.T, want string, err error) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("error %v, want one that says: %s", err, want)
	}
}
