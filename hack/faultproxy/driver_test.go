/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package faultproxy_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.uber.org/goleak"

	"github.com/mongolock/operator/hack/faultproxy"
	"github.com/mongolock/operator/hack/servers"
)

// TestWithDriverAndServer checks the promises of the faults with the real driver and a real server: through the proxy
// an operation fails, and a look past the proxy tells whether it was applied.
func TestWithDriverAndServer(t *testing.T) {
	t.Cleanup(func() { goleak.VerifyNone(t) })
	server, err := servers.StartMongoDB(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Stop(); err != nil {
			t.Error(err)
		}
	})
	p, err := faultproxy.Start(server.Address())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	direct := collection(t, server.Address())
	proxied := collection(t, p.URI())
	t.Cleanup(func() {
		if err := direct.Database().Drop(context.Background()); err != nil {
			t.Error(err)
		}
	})

	findAndModify := func(ctx context.Context, id string) error {
		return proxied.FindOneAndUpdate(ctx, bson.D{{Key: "_id", Value: id}}, touch).Err()
	}
	updateOne := func(ctx context.Context, id string) error {
		_, err := proxied.UpdateOne(ctx, bson.D{{Key: "_id", Value: id}}, touch)
		return err
	}
	commands := []struct {
		command string
		path    []string // of the document's id in the command
		do      func(context.Context, string) error
	}{
		{"findAndModify", []string{"query", "_id"}, findAndModify},
		{"update", []string{"updates", "0", "q", "_id"}, updateOne},
	}
	kinds := []struct {
		name          string
		kind          faultproxy.Kind
		first, atLast bool // applied when the fault has fired, and when all is through
	}{
		{"dropped request", faultproxy.DropRequest, false, false},
		{"dropped reply", faultproxy.DropReply, true, true},
		{"held request", faultproxy.HoldRequest, false, true},
		{"held reply", faultproxy.HoldReply, true, true},
	}
	for i := range len(commands) * len(kinds) {
		c, k := commands[i/len(kinds)], kinds[i%len(kinds)]
		t.Run(c.command+", "+k.name, func(t *testing.T) {
			const id = "hit"
			defer p.Reset()
			for _, each := range []string{id, "other"} {
				_, err := direct.ReplaceOne(t.Context(), bson.D{{Key: "_id", Value: each}}, bson.D{{Key: "n", Value: 0}},
					options.Replace().SetUpsert(true))
				if err != nil {
					t.Fatal(err)
				}
			}
			fault := p.Inject(faultproxy.Fault{Kind: k.kind, Command: c.command, Match: func(command bson.Raw) bool {
				got, ok := command.Lookup(c.path...).StringValueOK()
				return ok && got == id
			}})
			if err := c.do(t.Context(), "other"); err != nil {
				t.Fatalf("a command that does not match: %v", err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			if err := c.do(ctx, id); err == nil {
				t.Fatal("no error, want one")
			}
			await(t, "fired", fault.Fired())
			if n := count(t, direct, id); (n == 1) != k.first {
				t.Errorf("count %d when the fault has fired, want applied: %v", n, k.first)
			}
			fault.Release()
			await(t, "done", fault.Done())
			if n := count(t, direct, id); (n == 1) != k.atLast {
				t.Errorf("count %d at the end, want applied: %v", n, k.atLast)
			}
			if err := c.do(t.Context(), "other"); err != nil {
				t.Errorf("after the fault is spent: %v", err)
			}
			if got := p.Commands()[c.command]; got != 3 {
				t.Errorf("counted %d %s, want 3", got, c.command)
			}
		})
	}

	t.Run("black hole", func(t *testing.T) {
		defer p.Reset()
		p.Blackhole()
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer cancel()
		if err := updateOne(ctx, "other"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v, want a deadline", err)
		}
		p.Heal()
		if err := updateOne(t.Context(), "other"); err != nil {
			t.Errorf("after Heal: %v", err)
		}
	})
	t.Run("refuse", func(t *testing.T) {
		defer p.Reset()
		p.Refuse()
		if err := updateOne(t.Context(), "other"); err == nil {
			t.Error("no error, want one")
		}
		p.Heal()
		if err := updateOne(t.Context(), "other"); err != nil {
			t.Errorf("after Heal: %v", err)
		}
	})
}

var touch = bson.D{{Key: "$inc", Value: bson.D{{Key: "n", Value: 1}}}}

// collection connects with a client that repeats nothing by itself.
func collection(t *testing.T, uri string) *mongo.Collection {
	t.Helper()
	client, err := mongo.Connect(options.Client().ApplyURI(uri).SetRetryWrites(false).SetRetryReads(false).
		SetServerSelectionTimeout(5 * time.Second).SetHeartbeatInterval(500 * time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := client.Disconnect(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return client.Database("faultproxy").Collection("things")
}

func count(t *testing.T, things *mongo.Collection, id string) int {
	t.Helper()
	var thing struct{ N int }
	if err := things.FindOne(t.Context(), bson.D{{Key: "_id", Value: id}}).Decode(&thing); err != nil {
		t.Fatal(err)
	}
	return thing.N
}

func await(t *testing.T, what string, c <-chan struct{}) {
	t.Helper()
	select {
	case <-c:
	case <-time.After(10 * time.Second):
		t.Fatalf("%s: not within 10 s", what)
	}
}
