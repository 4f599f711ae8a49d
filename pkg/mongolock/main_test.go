/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package mongolock

import (
	"context"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/mongolock/operator/hack/faultproxy"
	"github.com/mongolock/operator/hack/servers/servertest"
)

func TestMain(m *testing.M) {
	servertest.Run(m, servertest.MongoDB, servertest.Feed)
}

// testServer is a database of the test's own on the real server, reached through a proxy that can fail.
type testServer struct {
	database string
	proxy    *faultproxy.Proxy
	driver   *mongo.Client // past the proxy
}

func newTestServer(t *testing.T) *testServer {
	t.Helper()
	s := &testServer{database: servertest.Database(t)}
	var err error
	if s.proxy, err = faultproxy.Start(servertest.MongoDBURI()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.proxy.Close)
	if s.driver, err = mongo.Connect(options.Client().ApplyURI(servertest.MongoDBURI())); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.driver.Disconnect(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	return s
}

// client connects through the proxy. It is closed with the test, when the proxy works again.
func (s *testServer) client(t *testing.T, opts ...Option) *Client {
	t.Helper()
	opts = append([]Option{WithDatabase(s.database), WithMinLease(100 * time.Millisecond)}, opts...)
	c, err := Connect(t.Context(), s.proxy.URI(), opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.proxy.Reset()
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 10*time.Second)
		defer cancel()
		if err := c.Close(ctx); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return c
}

// collection is where the locks are, past the proxy and the engine.
func (s *testServer) collection() *mongo.Collection {
	return s.driver.Database(s.database).Collection(DefaultCollection)
}

// raw is a lock's document as it is stored.
func (s *testServer) raw(t *testing.T, lock string) bson.Raw {
	t.Helper()
	raw, err := s.collection().FindOne(t.Context(), bson.D{{Key: "_id", Value: lock}}).Raw()
	if err != nil {
		t.Fatalf("read document %q: %v", lock, err)
	}
	return raw
}

// stored is the same, decoded.
func (s *testServer) stored(t *testing.T, lock string) document {
	t.Helper()
	doc, _ := decode(s.raw(t, lock))
	if doc.foreign != nil {
		t.Fatal(doc.foreign)
	}
	return doc
}

// setStored changes one field of a lock's document behind the engine's back.
func (s *testServer) setStored(t *testing.T, lock, field string, value any) {
	t.Helper()
	set := bson.D{{Key: "$set", Value: bson.D{{Key: field, Value: value}}}}
	if _, err := s.collection().UpdateOne(t.Context(), bson.D{{Key: "_id", Value: lock}}, set); err != nil {
		t.Fatal(err)
	}
}

// endLease ends the lease of a lock's holder by the server's clock, which no test has to wait for then.
func (s *testServer) endLease(t *testing.T, lock string, at time.Time) {
	t.Helper()
	s.setStored(t, lock, "state.holders.0.expiresAt", at)
	s.setStored(t, lock, "state.endsAt", at)
}

func mustLock(t *testing.T, c *Client, id string, opts ...LockOption) *Lease {
	t.Helper()
	return mustLockIn(t.Context(), t, c, id, opts...)
}

func mustLockIn(ctx context.Context, t *testing.T, c *Client, id string, opts ...LockOption) *Lease {
	t.Helper()
	lease, err := c.TryLock(ctx, id, opts...)
	if err != nil {
		t.Fatalf("TryLock(%q): %v", id, err)
	}
	return lease
}

func mustUnlock(t *testing.T, lease *Lease) {
	t.Helper()
	if err := lease.Unlock(t.Context()); err != nil {
		t.Fatalf("Unlock(%q): %v", lease.ID(), err)
	}
}

// eventually waits until ok, which it asks again and again.
func eventually(t *testing.T, within time.Duration, what string, ok func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	for !ok() {
		if pause(ctx, 10*time.Millisecond) != nil {
			t.Fatalf("not within %s: %s", within, what)
		}
	}
}

// await waits for a channel to be closed or to deliver.
func await[T any](t *testing.T, within time.Duration, what string, ch <-chan T) T {
	t.Helper()
	timer := time.NewTimer(within)
	defer timer.Stop()
	select {
	case v := <-ch:
		return v
	case <-timer.C:
		t.Fatalf("not within %s: %s", within, what)
		panic("unreachable")
	}
}
