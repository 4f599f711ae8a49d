/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package mongolock

import (
	"context"
	"errors"
	"net"
	"net/url"
	"strings"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/mongolock/operator/hack/servers/servertest"
)

const secret = "s3cr3t-pass"

// checkSafe: an error names what to do and leaks no credential, neither itself nor anything that it wraps.
func checkSafe(t *testing.T, err error, mentions string) {
	t.Helper()
	if err == nil {
		t.Fatal("no error")
	}
	if !strings.Contains(err.Error(), mentions) {
		t.Errorf("%q does not mention %q", err, mentions)
	}
	for ; err != nil; err = errors.Unwrap(err) {
		if strings.Contains(err.Error(), secret) {
			t.Errorf("%T leaks a credential", err)
		}
	}
}

func TestBadConnectionStrings(t *testing.T) {
	for _, uri := range []string{
		"", "localhost", "http://user:" + secret + "@localhost", "mongodb://user:" + secret + "%@localhost",
		"mongodb://user:" + secret + "@localhost:99999999", "mongodb://user:" + secret + "@localhost/?connectTimeoutMS=x", "mongodb://",
	} {
		_, err := Connect(t.Context(), uri)
		if !errors.Is(err, ErrInvalid) {
			t.Errorf("Connect: %v, want ErrInvalid", err)
		}
		checkSafe(t, err, "mongodb://user:password@host:27017")
	}
}

func TestUnreachableServer(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	dead := "mongodb://user:" + secret + "@" + listener.Addr().String() + "/"
	_ = listener.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	_, err = Connect(ctx, dead)
	if !errors.Is(err, ErrUnreachable) {
		t.Errorf("Connect: %v, want ErrUnreachable", err)
	}
	checkSafe(t, err, "check that MongoDB runs")
}

// With WithDeferredCheck a program starts while the server is down, and works as soon as it is up.
func TestDeferredCheck(t *testing.T) {
	s := newTestServer(t)
	s.proxy.Refuse()
	c := s.client(t, WithDeferredCheck())
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, err := c.TryLock(ctx, "x"); !errors.Is(err, ErrUnreachable) {
		t.Errorf("TryLock: %v, want ErrUnreachable", err)
	}
	s.proxy.Heal()
	lease, err := c.Lock(t.Context(), "x", WithRetryPeriod(50*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	mustUnlock(t, lease)
}

// A server that answers every login with a refusal is a fake: the database of the tests knows no users.
func TestWrongPassword(t *testing.T) {
	server := startFakeServer(t)
	server.answer = func(string) bson.D {
		return bson.D{
			{Key: "ok", Value: 0}, {Key: "code", Value: 18}, {Key: "codeName", Value: "AuthenticationFailed"},
			{Key: "errmsg", Value: "Authentication failed."},
		}
	}
	uri, err := url.Parse(server.uri)
	if err != nil {
		t.Fatal(err)
	}
	uri.User = url.UserPassword("user", secret)
	_, err = Connect(t.Context(), uri.String())
	if !errors.Is(err, ErrUnauthorized) {
		t.Errorf("Connect: %v, want ErrUnauthorized", err)
	}
	checkSafe(t, err, "check user, password")
}

// A document that is not ours is refused by every operation and stays as it is.
func TestForeignDocumentIsLeftAlone(t *testing.T) {
	s := newTestServer(t)
	c := s.client(t)
	for name, foreign := range map[string]bson.D{
		"no version":    {{Key: "_id", Value: "x"}, {Key: "job", Value: "somebody else's"}},
		"other version": {{Key: "_id", Value: "x"}, {Key: "v", Value: schemaVersion + 1}, {Key: "state", Value: bson.D{{Key: "holders", Value: bson.A{}}}}},
		"no state":      {{Key: "_id", Value: "x"}, {Key: "v", Value: schemaVersion}, {Key: "holders", Value: "nobody"}},
		"wrong types": {{Key: "_id", Value: "x"}, {Key: "v", Value: schemaVersion}, {Key: "state", Value: bson.D{
			{Key: "holders", Value: bson.A{}}, {Key: "waiters", Value: "nobody"},
		}}},
		"wrong elements": {{Key: "_id", Value: "x"}, {Key: "v", Value: schemaVersion}, {Key: "state", Value: bson.D{
			{Key: "holders", Value: bson.A{"nobody"}}, {Key: "waiters", Value: bson.A{}},
		}}},
	} {
		if _, err := s.collection().InsertOne(t.Context(), foreign); err != nil {
			t.Fatal(err)
		}
		before := s.raw(t, "x")
		if _, err := c.TryLock(t.Context(), "x"); !errors.Is(err, ErrForeignDocument) {
			t.Errorf("%s: TryLock: %v, want ErrForeignDocument", name, err)
		}
		if _, err := c.Lock(t.Context(), "x"); !errors.Is(err, ErrForeignDocument) {
			t.Errorf("%s: Lock: %v, want ErrForeignDocument", name, err)
		}
		if _, err := c.Get(t.Context(), "x"); !errors.Is(err, ErrForeignDocument) || !strings.Contains(err.Error(), "another id or collection") {
			t.Errorf("%s: Get: %v, want ErrForeignDocument", name, err)
		}
		if _, err := c.store.sweep(t.Context(), time.Time{}, time.Now().Add(time.Hour)); err != nil {
			t.Errorf("%s: sweep: %v", name, err)
		}
		if after := s.raw(t, "x"); string(before) != string(after) {
			t.Errorf("%s: the document changed from %s to %s", name, before, after)
		}
		if _, err := s.collection().DeleteOne(t.Context(), bson.D{{Key: "_id", Value: "x"}}); err != nil {
			t.Fatal(err)
		}
	}
}

func TestIndexesFollowTheGrace(t *testing.T) {
	s := newTestServer(t)
	store := newMongoStore(s.driver.Database(s.database), DefaultCollection)
	for i, grace := range []time.Duration{DefaultGrace, 2 * time.Hour, 2 * time.Hour, MinGrace, MinGrace} {
		wanted := grace
		if i == 0 || i == 4 {
			wanted = 0 // creates the index, but does not change it
		}
		if err := store.ensureIndexes(t.Context(), wanted); err != nil {
			t.Fatal(err)
		}
		indexes, err := s.collection().Indexes().ListSpecifications(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		found := map[string]mongo.IndexSpecification{}
		for _, index := range indexes {
			found[index.Name] = index
		}
		if ttl := found[ttlIndex]; ttl.ExpireAfterSeconds == nil || time.Duration(*ttl.ExpireAfterSeconds)*time.Second != grace {
			t.Errorf("grace %s: TTL index %+v", grace, ttl)
		}
		// Partial, or it would purge other people's documents that have such a field.
		raw := s.indexes(t)[ttlIndex]
		if v, err := raw.LookupErr("partialFilterExpression", "v"); err != nil || v.AsInt64() != schemaVersion {
			t.Errorf("TTL index %s is not limited to locks", raw)
		}
		for _, name := range []string{changedIndex, endsIndex} {
			if _, ok := found[name]; !ok {
				t.Errorf("no index %s", name)
			}
		}
	}
}

// indexes are the collection's, as the server lists them.
func (s *testServer) indexes(t *testing.T) map[string]bson.Raw {
	t.Helper()
	cursor, err := s.collection().Indexes().List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var all []bson.Raw
	if err := cursor.All(t.Context(), &all); err != nil {
		t.Fatal(err)
	}
	byName := map[string]bson.Raw{}
	for _, raw := range all {
		byName[raw.Lookup("name").StringValue()] = raw
	}
	return byName
}

// Documents are purged whose grace is over; the time it goes by is the end of the last lease.
func TestPurgeTimeIsTheEndOfUse(t *testing.T) {
	s := newTestServer(t)
	c := s.client(t)
	lease := mustLock(t, c, "x", WithLease(10*time.Second), WithAutoRenew(false))
	purgeAt := func() time.Time { return s.raw(t, "x").Lookup("state", "purgeAt").Time().UTC() }
	if got := purgeAt(); !got.Equal(lease.AcquiredAt().Add(10 * time.Second)) {
		t.Errorf("purgeAt %s after a grant at %s for 10s", got, lease.AcquiredAt())
	}
	if err := lease.Renew(t.Context()); err != nil {
		t.Fatal(err)
	}
	doc := s.stored(t, "x")
	end := purgeAt()
	if got := end; !got.Equal(doc.State.Holders[0].ExpiresAt) || !got.After(lease.AcquiredAt().Add(10*time.Second)) {
		t.Errorf("purgeAt %s after a renewal to %s", got, doc.State.Holders[0].ExpiresAt)
	}
	if !doc.State.ChangedAt.Equal(lease.AcquiredAt()) {
		t.Error("a renewal changed changedAt: every renewal would be fed to every watcher")
	}
	mustUnlock(t, lease)
	if got := purgeAt(); !got.Equal(end) {
		t.Errorf("purgeAt %s after a release, want %s, the end of the last lease", got, end)
	}
}

func TestSelfTestLeavesNothing(t *testing.T) {
	s := newTestServer(t)
	s.client(t)
	n, err := s.collection().CountDocuments(t.Context(), bson.D{})
	if err != nil || n != 0 {
		t.Errorf("%d documents after New, %v", n, err)
	}
}

// A collection that is dropped under the client comes back with the next acquire.
func TestDroppedCollection(t *testing.T) {
	s := newTestServer(t)
	c := s.client(t)
	lease := mustLock(t, c, "x")
	if err := s.collection().Drop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := lease.Renew(t.Context()); !errors.Is(err, ErrLeaseLost) {
		t.Errorf("Renew: %v, want ErrLeaseLost", err)
	}
	again := mustLock(t, c, "x")
	if again.Token() <= lease.Token() {
		t.Errorf("token %d after %d", again.Token(), lease.Token())
	}
	mustUnlock(t, again)
}

func TestNewRefusesBadArguments(t *testing.T) {
	if _, err := New(t.Context(), nil); !errors.Is(err, ErrInvalid) {
		t.Errorf("New(nil): %v, want ErrInvalid", err)
	}
	if _, err := Connect(t.Context(), servertest.MongoDBURI(), WithGrace(time.Second)); !errors.Is(err, ErrInvalid) {
		t.Errorf("Connect: %v, want ErrInvalid", err)
	}
}
