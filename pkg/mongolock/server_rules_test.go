/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package mongolock

import (
	"bytes"
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	driverevent "go.mongodb.org/mongo-driver/v2/event"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/mongo/readpref"
	"go.mongodb.org/mongo-driver/v2/mongo/writeconcern"

	"github.com/mongolock/operator/hack/faultproxy"
	"github.com/mongolock/operator/hack/servers/servertest"
)

// The ten rules that other lock libraries learned the hard way, each with the test that fails when it is broken.

// Rule 1: what a caller supplies is data, never an expression.
func TestRule01CallersValuesAreLiteral(t *testing.T) {
	s := newTestServer(t)
	c := s.client(t)
	metadata := map[string]string{"$add": "$$NOW", "$fence": "$holders", "a.b": "$literal"}
	for _, owner := range []string{"$foo", "$fence", "$$NOW", "$$ROOT", "{$add: [1, 2]}"} {
		lease := mustLock(t, c, "$id", WithOwner(owner), WithMetadata(metadata))
		h := s.stored(t, "$id").State.Holders[0]
		if h.Owner != owner {
			t.Errorf("stored owner %q, want %q", h.Owner, owner)
		}
		if got := h.public().Metadata; len(got) != len(metadata) || got["$add"] != "$$NOW" || got["$fence"] != "$holders" || got["a.b"] != "$literal" {
			t.Errorf("stored metadata %v, want %v", got, metadata)
		}
		mustUnlock(t, lease)
		events := s.stored(t, "$id").State.Events
		if last := events[len(events)-1]; last.Owner != owner || last.Type != string(EventReleased) {
			t.Errorf("last event %+v, want a release by %q", last, owner)
		}
	}
}

// Rule 2: everything that depends on "is it free?" is computed from the input document. A take-over shows it: its events tell of the
// old holder and of the new one, and its times are those of the new one only.
func TestRule02TakeoverIsComputedFromTheInput(t *testing.T) {
	s := newTestServer(t)
	c := s.client(t)
	old := mustLock(t, c, "x", WithOwner("old"), WithAutoRenew(false))
	end := old.AcquiredAt().Add(time.Millisecond)
	s.endLease(t, "x", end)
	var fresh *Lease
	eventually(t, time.Second, "the lock is free", func() bool {
		var err error
		fresh, err = c.TryLock(t.Context(), "x", WithOwner("new"), WithLease(30*time.Second))
		return err == nil
	})
	doc := s.stored(t, "x")
	if len(doc.State.Holders) != 1 || doc.State.Holders[0].Owner != "new" || doc.State.Holders[0].ExpiresAt.Sub(doc.State.Holders[0].AcquiredAt) != 30*time.Second {
		t.Errorf("holders %+v, want the new one with its own lease", doc.State.Holders)
	}
	if doc.State.Fence != fresh.Token() || fresh.Token() <= old.Token() || doc.State.Grants != 2 || doc.State.Seq != 3 {
		t.Errorf("fence %d, grants %d, seq %d after tokens %d and %d", doc.State.Fence, doc.State.Grants, doc.State.Seq, old.Token(), fresh.Token())
	}
	want := []event{
		{Seq: 1, Type: "acquired", Owner: "old", Token: old.Token(), At: old.AcquiredAt()},
		{Seq: 2, Type: "expired", Owner: "old", Token: old.Token(), At: end},
		{Seq: 3, Type: "acquired", Owner: "new", Token: fresh.Token(), At: fresh.AcquiredAt()},
	}
	for i, e := range doc.State.Events {
		if e != want[i] {
			t.Errorf("event %+v, want %+v", e, want[i])
		}
	}
}

// Rule 3: a refused acquire writes nothing, and its reply tells by whom and for how long.
func TestRule03RefusedAcquireWritesNothing(t *testing.T) {
	s := newTestServer(t)
	c := s.client(t)
	lease := mustLock(t, c, "x", WithOwner("me"), WithLease(20*time.Second), WithAutoRenew(false), WithMetadata(map[string]string{"k": "v"}))
	before := s.raw(t, "x")
	for range 3 {
		_, err := c.TryLock(t.Context(), "x", WithOwner("other"))
		var held *HeldError
		if !errors.As(err, &held) || !errors.Is(err, ErrHeld) {
			t.Fatalf("TryLock: %v, want a HeldError", err)
		}
		if held.Lock != "x" || held.Owner != "me" || held.Token != lease.Token() || held.Metadata["k"] != "v" {
			t.Errorf("%+v does not tell who holds the lock", held)
		}
		if held.Remaining <= 15*time.Second || held.Remaining > 20*time.Second {
			t.Errorf("remaining %s of a fresh lease of 20s", held.Remaining)
		}
	}
	if after := s.raw(t, "x"); !bytes.Equal(before, after) {
		t.Errorf("the document changed:\n%s\n%s", before, after)
	}
	// The server itself says that the pipeline modified nothing.
	a := acquisition{lock: "x", holderID: newHolderID(), owner: "other", leaseMS: 1000, meta: []metaPair{}}
	result, err := s.collection().UpdateOne(t.Context(), byID("x"), acquirePipeline(a))
	if err != nil || result.MatchedCount != 1 || result.ModifiedCount != 0 {
		t.Errorf("refused acquire: %+v, %v; want matched 1, modified 0", result, err)
	}
}

// Rule 4, that pipelines stay inside the operators that all servers share, is TestRule04OnlySharedOperators in pipeline_test.go.

// Rule 5: whatever the caller's client says, the engine writes with majority, reads from the primary, and encodes its own way.
func TestRule05OwnCollectionHandle(t *testing.T) {
	var mu sync.Mutex
	seen := map[string][]bson.Raw{}
	monitor := &driverevent.CommandMonitor{Started: func(_ context.Context, e *driverevent.CommandStartedEvent) {
		mu.Lock()
		defer mu.Unlock()
		seen[e.CommandName] = append(seen[e.CommandName], bytes.Clone(e.Command))
	}}
	driver, err := mongo.Connect(options.Client().ApplyURI(servertest.MongoDBURI()).SetMonitor(monitor).
		SetWriteConcern(writeconcern.W1()).SetReadPreference(readpref.SecondaryPreferred()).
		SetBSONOptions(&options.BSONOptions{UseJSONStructTags: true, OmitEmpty: true, NilSliceAsEmpty: true, UseLocalTimeZone: true}))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = driver.Disconnect(context.WithoutCancel(t.Context())) }()
	s := newTestServer(t)
	c, err := New(t.Context(), driver.Database(s.database))
	if err != nil {
		t.Fatal(err)
	}
	lease := mustLock(t, c, "x", WithOwner("me"))
	if err := lease.Renew(t.Context()); err != nil {
		t.Error(err)
	}
	if state, err := c.Get(t.Context(), "x"); err != nil || state.Holders[0].AcquiredAt.Location() != time.UTC {
		t.Errorf("Get: %+v, %v", state, err)
	}
	if doc := s.stored(t, "x"); doc.State.Holders[0].Rev != 1 || doc.State.Holders[0].Owner != "me" {
		t.Errorf("stored %+v", doc)
	}
	mustUnlock(t, lease)
	// Nor does a grant become part of a transaction of the caller's, whose end would take it back.
	session, err := driver.StartSession()
	if err != nil {
		t.Fatal(err)
	}
	_, _ = session.WithTransaction(t.Context(), func(ctx context.Context) (any, error) {
		if err := mustLockIn(ctx, t, c, "x").Unlock(ctx); err != nil {
			t.Error(err)
		}
		return nil, errors.New("aborted")
	})
	session.EndSession(t.Context())
	if err := c.Close(t.Context()); err != nil {
		t.Error(err)
	}
	mu.Lock()
	defer mu.Unlock()
	for _, name := range []string{"findAndModify", "update", "insert"} {
		for _, command := range seen[name] {
			if _, err := command.LookupErr("autocommit"); err == nil {
				t.Errorf("%s was sent in a transaction", name)
			}
			if w, _ := command.Lookup("writeConcern", "w").StringValueOK(); w != "majority" {
				t.Errorf("%s was sent with writeConcern %v", name, command.Lookup("writeConcern"))
			}
		}
	}
	for _, command := range seen["find"] {
		if level, _ := command.Lookup("readConcern", "level").StringValueOK(); level != "majority" {
			t.Errorf("find was sent with readConcern %v", command.Lookup("readConcern"))
		}
		if mode, ok := command.Lookup("$readPreference", "mode").StringValueOK(); ok && mode != "primary" {
			t.Errorf("find was sent with read preference %s", mode)
		}
	}
	if len(seen["findAndModify"]) == 0 || len(seen["update"]) == 0 || len(seen["insert"]) == 0 || len(seen["find"]) == 0 {
		t.Errorf("not all commands were seen: %d kinds", len(seen))
	}
}

// Rule 6: an outcome that is unknown is resolved by the acquisition's id, never guessed: here replies are lost after the server has
// applied the request.
func TestRule06LostReplies(t *testing.T) {
	for _, kind := range []faultproxy.Kind{faultproxy.DropReply, faultproxy.HoldReply} {
		s := newTestServer(t)
		c := s.client(t, WithLease(3*time.Second), WithAutoRenew(false))
		mustUnlock(t, mustLock(t, c, "x")) // the document exists from here on
		granted := s.stored(t, "x").State.Grants

		fault := s.proxy.Inject(faultproxy.Fault{Kind: kind, Command: "findAndModify"})
		lease := mustLock(t, c, "x")
		await(t, time.Second, "the reply of the acquire is lost", fault.Fired())
		if doc := s.stored(t, "x"); doc.State.Grants != granted+1 || doc.State.Fence != lease.Token() {
			t.Errorf("acquire: %d grants, token %d; want %d, %d", doc.State.Grants, doc.State.Fence, granted+1, lease.Token())
		}

		rev := s.stored(t, "x").State.Holders[0].Rev
		fault = s.proxy.Inject(faultproxy.Fault{Kind: kind, Command: "update"})
		if err := lease.Renew(t.Context()); err != nil {
			t.Errorf("Renew: %v", err)
		}
		await(t, time.Second, "the reply of the renewal is lost", fault.Fired())
		if doc := s.stored(t, "x"); doc.State.Holders[0].Rev < rev+2 || doc.State.Fence != lease.Token() {
			t.Errorf("renewal: revision %d after %d, token %d; want both sends applied to token %d", doc.State.Holders[0].Rev, rev, doc.State.Fence, lease.Token())
		}

		fault = s.proxy.Inject(faultproxy.Fault{Kind: kind, Command: "update"})
		if err := lease.Unlock(t.Context()); err != nil {
			t.Errorf("Unlock: %v", err)
		}
		await(t, time.Second, "the reply of the release is lost", fault.Fired())
		if doc := s.stored(t, "x"); len(doc.State.Holders) != 0 || doc.State.Events[len(doc.State.Events)-1].Type != string(EventReleased) {
			t.Errorf("release: %+v", doc)
		}
	}
}

// Rule 7: each attempt has a short deadline of its own, so that one dead connection cannot eat a lease.
func TestRule07HungConnections(t *testing.T) {
	s := newTestServer(t)
	c := s.client(t, WithLease(2*time.Second))
	mustUnlock(t, mustLock(t, c, "x"))

	// A hung acquire is repeated on another connection, well within the lease.
	s.proxy.Inject(faultproxy.Fault{Kind: faultproxy.HoldRequest, Command: "findAndModify"})
	started := time.Now()
	lease := mustLock(t, c, "x")
	if took := time.Since(started); took > 2*time.Second {
		t.Errorf("TryLock took %s with one hung connection and a lease of 2s", took)
	}
	// So is a hung renewal: the lease outlives its first deadline.
	first := lease.Deadline()
	fault := s.proxy.Inject(faultproxy.Fault{Kind: faultproxy.HoldRequest, Command: "update"})
	await(t, 2*time.Second, "a renewal hangs", fault.Fired())
	eventually(t, 2*time.Second, "the lease is renewed all the same", func() bool { return lease.Deadline().After(first) })

	// With everything dead, Done closes at the deadline, whatever the renewal waits for.
	s.proxy.Blackhole()
	await(t, 3*time.Second, "the lease is lost", lease.Done())
	if late := time.Since(lease.Deadline()); late < 0 || late > 5*time.Second {
		t.Errorf("Done was closed %s after the deadline", late)
	}
	if err := lease.Err(); !errors.Is(err, ErrLeaseLost) {
		t.Errorf("Err: %v, want ErrLeaseLost", err)
	}
	// And the server ends it later than the holder does: nobody else can have it yet, or only just.
	s.proxy.Heal()
	if err := lease.Renew(t.Context()); !errors.Is(err, ErrLeaseLost) {
		t.Errorf("Renew of a lost lease: %v, want ErrLeaseLost", err)
	}
}

// Rule 8: a cancelled acquire leaves nothing, even when the request reaches the server after the caller has gone.
func TestRule08CancelledAcquireLeavesNothing(t *testing.T) {
	for _, kind := range []faultproxy.Kind{faultproxy.HoldReply, faultproxy.DropReply, faultproxy.HoldRequest} {
		s := newTestServer(t)
		c := s.client(t, WithLease(20*time.Second))
		mustUnlock(t, mustLock(t, c, "x"))
		ctx, cancel := context.WithCancel(t.Context())
		fault := s.proxy.Inject(faultproxy.Fault{Kind: kind, Command: "findAndModify", Times: 1})
		if kind == faultproxy.DropReply { // the next send must not arrive either
			s.proxy.Inject(faultproxy.Fault{Kind: faultproxy.HoldRequest, Command: "findAndModify", Times: 1})
		}
		result := make(chan error, 1)
		go func() {
			_, err := c.TryLock(ctx, "x")
			result <- err
		}()
		await(t, 2*time.Second, "the fault fires", fault.Fired())
		cancel()
		err := await(t, time.Second, "TryLock returns after the cancellation", result)
		if !errors.Is(err, context.Canceled) {
			t.Errorf("TryLock: %v, want context.Canceled", err)
		}
		fault.Release() // a held request reaches the server only now
		eventually(t, 5*time.Second, "nothing is left of the acquisition", func() bool {
			return len(s.stored(t, "x").State.Holders) == 0
		})
	}
}

// Rule 9, that everything callers send is bounded, is TestRule09LimitsOfAnAcquisition in limits_test.go.

// Rule 10: a server that cannot run the engine is refused with the name of what it lacks, and left as it was.
func TestRule10UnsupportedServerIsRefused(t *testing.T) {
	server := startFakeServer(t)
	_, err := Connect(t.Context(), server.uri)
	if !errors.Is(err, ErrUnsupportedServer) {
		t.Fatalf("Connect: %v, want ErrUnsupportedServer", err)
	}
	for _, want := range []string{"aggregation pipeline", "MongoDB 4.4"} {
		if !bytes.Contains([]byte(err.Error()), []byte(want)) {
			t.Errorf("%q does not mention %q", err, want)
		}
	}
}
