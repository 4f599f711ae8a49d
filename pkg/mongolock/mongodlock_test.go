/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package mongolock

import (
	"context"
	"errors"
	"regexp"
	"slices"
	"sync"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/mongolock/operator/hack/servers/servertest"
)

// What mongo-dlock does, this package does: each row of the table in section 9 of the design, on the real server. The rows are named
// after mongo-dlock's side.
func TestMongoDlock(t *testing.T) {
	rows := []struct {
		name  string
		prove func(*testing.T, *testServer)
	}{
		{"MDL url db coll", proveConnect},
		{"notif_url notif_channel", proveFeed},
		{"grace", proveGrace},
		{"exp_delta", proveLease},
		{"autorefresh", proveAutoRenew},
		{"wait_lock_period", proveRetryPeriod},
		{"dlock id and options", proveIDAndOptions},
		{"lock", proveTryLock},
		{"wait_lock", proveLock},
		{"unlock", proveUnlock},
		{"lock and unlock events", proveWatch},
		{"close", proveClose},
		{"is_locked active_locks upd", proveInspection},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) { row.prove(t, newTestServer(t)) })
	}
}

// A client keeps its locks where it was told to, by default in dlocks.dlocks.
func proveConnect(t *testing.T, s *testServer) {
	c := s.client(t, WithCollection("elsewhere"))
	lease := mustLock(t, c, "x")
	var stored bson.Raw
	err := s.driver.Database(s.database).Collection("elsewhere").FindOne(t.Context(), bson.D{{Key: "_id", Value: "x"}}).Decode(&stored)
	if err != nil {
		t.Errorf("the lock is not in the collection: %v", err)
	}
	mustUnlock(t, lease)

	// The check is deferred for ever: nothing is left in a database of this name on a server that may be somebody's own.
	byDefault, err := Connect(t.Context(), servertest.MongoDBURI(), WithDeferredCheck())
	if err != nil {
		t.Fatal(err)
	}
	coll := byDefault.store.(*mongoStore).coll
	if database := coll.Database().Name(); database != "dlocks" || coll.Name() != "dlocks" {
		t.Errorf("locks are by default in %s.%s, want dlocks.dlocks", database, coll.Name())
	}
	if err := byDefault.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

// Clients tell each other of changes in a collection of their choice, also on another server; by default next to the locks.
func proveFeed(t *testing.T, s *testServer) {
	feed := WithFeed(servertest.FeedURI(), s.database, "channel")
	holding, waiting := s.client(t, feed), s.client(t, feed)
	held := mustLock(t, holding, "x")
	w := waitInLine(t, waiting, "x", 1)
	eventually(t, 10*time.Second, "the waiter hears", waiting.bell.rings)
	start := time.Now()
	mustUnlock(t, held)
	lease := await(t, 4*time.Second, "the waiter is told that the lock is its own", w.result)
	t.Logf("handed over within %s", time.Since(start)) // the time is the server's affair, and that of the benchmark
	mustUnlock(t, lease)
	if n, err := holding.bell.coll.EstimatedDocumentCount(t.Context()); err != nil || n == 0 || holding.bell.coll.Name() != "channel" {
		t.Errorf("%d messages in %q, %v", n, holding.bell.coll.Name(), err)
	}

	byDefault := s.client(t).bell.coll
	if database := byDefault.Database().Name(); database != s.database || byDefault.Name() != "dlocks_feed" {
		t.Errorf("the feed is by default %s.%s, want dlocks_feed in the database of the locks", database, byDefault.Name())
	}
}

// The document of an unused lock is deleted after the grace period: by the client where indexes are dear, and by a TTL index elsewhere.
func proveGrace(t *testing.T, s *testServer) {
	c := s.client(t, WithGrace(time.Minute))
	for _, id := range []string{"unused", "used", "held"} {
		mustUnlock(t, mustLock(t, c, id))
	}
	held := mustLock(t, c, "held")
	s.setStored(t, "unused", "state.purgeAt", time.Now().Add(-time.Minute-time.Second))
	if err := c.purgeOnce(t.Context(), c.settings.grace); err != nil {
		t.Fatal(err)
	}
	for id, want := range map[string]bool{"unused": false, "used": true, "held": true} {
		if state, err := c.Get(t.Context(), id); err != nil || state.Exists != want {
			t.Errorf("%q exists: %v, %v; want %v", id, state.Exists, err, want)
		}
	}
	mustUnlock(t, held)

	store := c.store.(*mongoStore)
	if err := store.ensureIndexes(t.Context(), c.settings.grace); err != nil {
		t.Fatal(err)
	}
	indexes, err := store.coll.Indexes().ListSpecifications(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(indexes, func(i mongo.IndexSpecification) bool {
		return i.Name == ttlIndex && i.ExpireAfterSeconds != nil && *i.ExpireAfterSeconds == 60
	}) {
		t.Errorf("no TTL index of 60 s among %d indexes", len(indexes))
	}
}

// A grant lasts 15 s or as long as it was asked for, and outlives a dead holder for no longer.
func proveLease(t *testing.T, s *testServer) {
	c := s.client(t)
	lease := mustLock(t, c, "default")
	if state, err := c.Get(t.Context(), "default"); err != nil || state.Holders[0].Lease != 15*time.Second {
		t.Errorf("%+v, %v; want a lease of 15 s", state.Holders, err)
	}
	mustUnlock(t, lease)
	dead := mustLock(t, c, "x", WithLease(time.Second), WithAutoRenew(false))
	next, err := s.client(t).Lock(t.Context(), "x")
	if err != nil {
		t.Fatal(err)
	}
	if delay := next.AcquiredAt().Sub(dead.AcquiredAt()); delay < time.Second || delay > 2*time.Second {
		t.Errorf("the lock was free %s after the grant, want one lease of 1 s", delay)
	}
	mustUnlock(t, next)
}

// A lease renews itself, unless it is told not to.
func proveAutoRenew(t *testing.T, s *testServer) {
	c := s.client(t, WithLease(time.Second))
	kept := mustLock(t, c, "kept")
	left := mustLock(t, c, "left", WithAutoRenew(false))
	await(t, 2*time.Second, "the lease that does not renew itself ends", left.Done())
	if err := left.Err(); !errors.Is(err, ErrLeaseLost) {
		t.Errorf("Err: %v, want ErrLeaseLost", err)
	}
	eventually(t, 5*time.Second, "the lease has outlived its first duration", func() bool {
		state, err := c.Get(t.Context(), "kept")
		return err == nil && state.Held() && state.ReadAt.Sub(state.Holders[0].AcquiredAt) > time.Second && state.Holders[0].Revision > 0
	})
	if err := kept.Err(); err != nil {
		t.Error(err)
	}
	mustUnlock(t, kept)
}

// countingStore counts the tries.
type countingStore struct {
	store
	mu    sync.Mutex
	tries []time.Time
}

func (s *countingStore) acquire(ctx context.Context, a acquisition) (*document, error) {
	s.mu.Lock()
	s.tries = append(s.tries, time.Now())
	s.mu.Unlock()
	return s.store.acquire(ctx, a)
}

func (s *countingStore) sent() []time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.tries)
}

// Who does not queue asks again after the retry period at the latest; that is 5 s by default.
func proveRetryPeriod(t *testing.T, s *testServer) {
	held := mustLock(t, s.client(t), "x")
	const period = 200 * time.Millisecond
	asking := s.client(t, WithRetryPeriod(period), WithoutQueue())
	counting := &countingStore{store: asking.store}
	asking.store = counting
	w := startWaiting(t, asking, "x")
	eventually(t, 10*time.Second, "it has asked five times", func() bool { return len(counting.sent()) >= 5 })
	tries := counting.sent()
	if took := tries[4].Sub(tries[0]); took > 4*(period+100*time.Millisecond) {
		t.Errorf("four periods of %s took %s", period, took)
	}
	mustUnlock(t, held)
	mustUnlock(t, await(t, 2*time.Second, "it has the lock", w.result))
	if period := s.client(t).settings.lock.retryPeriod; period != 5*time.Second {
		t.Errorf("the default is %s", period)
	}
}

var uuid4 = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)

// Equal ids are the same lock, no id is a new one, and the client's options are those of its locks unless they have their own.
func proveIDAndOptions(t *testing.T, s *testServer) {
	c := s.client(t, WithOwner("client"), WithLease(20*time.Second))
	lease := mustLock(t, c, "same", WithLease(30*time.Second))
	for _, other := range []*Client{c, s.client(t)} {
		if _, err := other.TryLock(t.Context(), "same"); !errors.Is(err, ErrHeld) {
			t.Errorf("TryLock: %v, want ErrHeld", err)
		}
	}
	one, two := mustLock(t, c, ""), mustLock(t, c, "")
	if !uuid4.MatchString(one.ID()) || !uuid4.MatchString(two.ID()) || one.ID() == two.ID() {
		t.Errorf("made the ids %q and %q, want two UUIDs of version 4", one.ID(), two.ID())
	}
	for id, want := range map[string]time.Duration{"same": 30 * time.Second, one.ID(): 20 * time.Second} {
		state, err := c.Get(t.Context(), id)
		if err != nil || state.Holders[0].Owner != "client" || state.Holders[0].Lease != want {
			t.Errorf("%q: %+v, %v; want the client's name and a lease of %s", id, state.Holders, err, want)
		}
	}
	for _, l := range []*Lease{lease, one, two} {
		mustUnlock(t, l)
	}
}
