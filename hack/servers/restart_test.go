/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package servers_test

import (
	"context"
	"errors"
	"os"
	"sync"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/mongolock/operator/hack/servers"
)

// startOwn starts a server of the test's own and connects to it.
func startOwn(t *testing.T, start func(context.Context) (*servers.Server, error)) (*servers.Server, *mongo.Client) {
	t.Helper()
	server, err := start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Stop(); err != nil {
			t.Error(err)
		}
	})
	return server, connect(t, server.Address())
}

func count(t *testing.T, documents *mongo.Collection) int {
	t.Helper()
	n, err := documents.CountDocuments(t.Context(), bson.D{})
	if err != nil {
		t.Fatal(err)
	}
	return int(n)
}

// insertAtOnce inserts documents over as many connections as there are.
func insertAtOnce(t *testing.T, documents *mongo.Collection, n int) {
	t.Helper()
	var inserts sync.WaitGroup
	for range n {
		inserts.Go(func() {
			if _, err := documents.InsertOne(t.Context(), bson.D{}); err != nil {
				t.Error(err)
			}
		})
	}
	inserts.Wait()
}

func TestRestartKeepsWhatWasAcknowledged(t *testing.T) {
	if starts["MongoDB"] == nil {
		return // it is the user's
	}
	server, client := startOwn(t, servers.StartMongoDB)
	documents := client.Database("test").Collection("c")
	const batch = 20
	for i := range 2 {
		insertAtOnce(t, documents, batch)
		if err := server.Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := count(t, connect(t, server.Address()).Database("test").Collection("c")); got != (i+1)*batch {
			t.Errorf("after restart %d: %d documents, want %d", i+1, got, (i+1)*batch)
		}
		await(t, "the old client", func() bool { return client.Ping(t.Context(), nil) == nil })
	}
}

// While clients write, restarts lose nothing that was acknowledged.
func TestRestartUnderLoad(t *testing.T) {
	if starts["MongoDB"] == nil {
		return // it is the user's
	}
	server, client := startOwn(t, servers.StartMongoDB)
	documents := client.Database("test").Collection("c")
	insertAtOnce(t, documents, 1)

	ctx, cancel := context.WithCancel(t.Context())
	acknowledged := make([]bson.A, 8)
	var writers sync.WaitGroup
	for w := range acknowledged {
		writers.Go(func() {
			for ctx.Err() == nil {
				id := bson.NewObjectID()
				if _, err := documents.InsertOne(ctx, bson.D{{Key: "_id", Value: id}}); err == nil {
					acknowledged[w] = append(acknowledged[w], id)
				}
			}
		})
	}
	for range 2 {
		before := count(t, connect(t, server.Address()).Database("test").Collection("c"))
		if err := server.Restart(t.Context()); err != nil {
			t.Error(err)
			break
		}
		await(t, "more documents", func() bool {
			n, err := documents.CountDocuments(t.Context(), bson.D{})
			return err == nil && int(n) > before+100
		})
	}
	cancel()
	writers.Wait()
	for w, ids := range acknowledged {
		n, err := documents.CountDocuments(t.Context(), bson.D{{Key: "_id", Value: bson.D{{Key: "$in", Value: ids}}}})
		if err != nil || int(n) != len(ids) {
			t.Errorf("writer %d: %d of %d acknowledged documents are there (%v)", w, n, len(ids), err)
		}
	}
}

func TestRestartLeavesNoProcess(t *testing.T) {
	for _, name := range []string{"MongoDB", "feed store"} {
		if starts[name] == nil {
			continue
		}
		t.Run(name, func(t *testing.T) {
			before := descendants(os.Getpid())
			server, err := starts[name](t.Context())
			if err != nil {
				t.Fatal(err)
			}
			old := added(before)
			program := newest(t, before)
			folder := folderOf(t, program)
			if err := server.Restart(t.Context()); err != nil {
				t.Fatal(err)
			}
			delete(old, program) // of a MongoDB it stays
			now := added(before)
			for pid := range old {
				if now[pid] {
					t.Errorf("process %d is left", pid)
				}
			}
			nextFolder := folderOf(t, newest(t, before))
			if err := server.Stop(); err != nil {
				t.Error(err)
			}
			expectNothing(t, before, folder)
			expectNothing(t, before, nextFolder)
		})
	}
}

func TestRestartOfFeedLosesEverything(t *testing.T) {
	server, client := startOwn(t, servers.StartFeed)
	feed := createFeed(t, client, "test")
	address := server.Address()
	if err := server.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	if server.Address() != address {
		t.Errorf("Address: %s, before %s", server.Address(), address)
	}
	await(t, "the old client", func() bool { return client.Ping(t.Context(), nil) == nil })
	if got := count(t, feed); got != 0 {
		t.Errorf("%d documents left", got)
	}
}

func TestRestartInterrupted(t *testing.T) {
	for _, name := range []string{"MongoDB", "feed store"} {
		if starts[name] == nil {
			continue
		}
		t.Run(name, func(t *testing.T) {
			before := descendants(os.Getpid())
			server, err := starts[name](t.Context())
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Millisecond)
			defer cancel()
			if err := server.Restart(ctx); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("Restart: %v, want that the time is over", err)
			}
			await(t, "the end of the server", func() bool { return len(added(before)) == 0 })
		})
	}
}

// In the pause nothing is served; the server comes back with the clients it had.
func TestRestartAfterAPause(t *testing.T) {
	const pause = 1500 * time.Millisecond
	for _, name := range []string{"MongoDB", "feed store"} {
		if starts[name] == nil {
			continue
		}
		t.Run(name, func(t *testing.T) {
			server, client := startOwn(t, starts[name])
			documents := client.Database("test").Collection("c")
			insertAtOnce(t, documents, 1)

			begin, back := time.Now(), make(chan error)
			go func() { back <- server.RestartAfter(t.Context(), pause) }()
			time.Sleep(pause / 2)
			ctx, cancel := context.WithTimeout(t.Context(), pause/4)
			defer cancel()
			if _, err := documents.InsertOne(ctx, bson.D{}); err == nil {
				t.Error("inserted in the pause, want an error")
			}
			if err := <-back; err != nil {
				t.Fatal(err)
			}
			if took := time.Since(begin); took < pause {
				t.Errorf("back after %v, want at least %v", took, pause)
			}
			await(t, "the old client", func() bool { return client.Ping(t.Context(), nil) == nil })
			insertAtOnce(t, documents, 1)
		})
	}
}

func TestRestartInterruptedInThePause(t *testing.T) {
	for _, name := range []string{"MongoDB", "feed store"} {
		if starts[name] == nil {
			continue
		}
		t.Run(name, func(t *testing.T) {
			before := descendants(os.Getpid())
			server, err := starts[name](t.Context())
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
			defer cancel()
			if err := server.RestartAfter(ctx, time.Minute); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("RestartAfter: %v, want that the time is over", err)
			}
			await(t, "the end of the server", func() bool { return len(added(before)) == 0 })
		})
	}
}
