/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package controllers

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/client-go/util/workqueue"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/mongolock/operator/api/v1alpha1"
	"github.com/mongolock/operator/hack/servers/servertest"
	"github.com/mongolock/operator/pkg/mongolock"
)

// deletionShows is how soon the feed tells of a document that was deleted: it looks at everything every 30 s.
const deletionShows = 30*time.Second + soon

// documents is the collection of the locks, for what only a database administrator does.
func (e *env) documents() *mongo.Collection {
	e.Helper()
	driver, err := mongo.Connect(options.Client().ApplyURI(servertest.MongoDBURI()))
	if err != nil {
		e.Fatal(err)
	}
	e.Cleanup(func() { _ = driver.Disconnect(context.WithoutCancel(e.Context())) })
	return driver.Database(e.database).Collection(mongolock.DefaultCollection)
}

// Locks that no object declares are shown, for as long as they exist and nobody declares them.
func TestDiscovery(t *testing.T) {
	e := newEnv(t)
	first := e.start(operatorOptions{store: NewStore(e.connect(servertest.MongoDBURI())), discover: true})
	e.create("declared", "")
	e.acquire("declared")
	before, err := e.locks.TryLock(t.Context(), "billing/Run #7", mongolock.WithOwner("b"))
	if err != nil {
		t.Fatal(err)
	}
	name := discoveredObject("billing/Run #7")
	e.appears(name)
	lock := e.shows(soon, name, "Ready True/Mirrored", "Held True/Acquired")
	if lock.Status.Holder != "b" || lock.Spec.ID != "billing/Run #7" {
		t.Errorf("shown is %+v", lock)
	}
	if _, err := e.locks.TryLock(t.Context(), "a\tb"); err != nil { // no object can have that id
		t.Fatal(err)
	}
	later, err := e.locks.TryLock(t.Context(), "later")
	if err != nil {
		t.Fatal(err)
	}
	e.appears(discoveredObject("later"))
	if names := e.objects(); len(names) != 3 {
		t.Errorf("there are %q", names)
	}

	// It is read-only.
	e.kubectl("annotate dlock " + name + " locks.mongolock.dev/evict=" + "1")
	e.eventually(soon, "the eviction is refused", func() bool {
		return strings.Contains(strings.Join(e.events(name), "\n"), "EvictionRefused: The operator made")
	})
	e.patch(name, `{"spec":{"suspend":true}}`)
	e.shows(soon, name, "Stalled True/ReadOnly")
	e.patch(name, `{"spec":{"suspend":null}}`)
	e.shows(soon, name, "Stalled absent", "Held True/Acquired")
	if err := before.Renew(t.Context()); err != nil {
		t.Errorf("the holder was touched: %v", err)
	}

	// A restart changes nothing.
	first.stop()
	w := e.watchWrites()
	e.start(operatorOptions{store: NewStore(e.connect(servertest.MongoDBURI())), discover: true})
	e.create("marker", "")
	e.shows(soon, "marker", "Ready True/Mirrored")
	e.unchanged(w, 0, name, "declared", discoveredObject("later"))

	// Somebody declares it: with the rights of the operator's --allow-foreign-ids, or as here in the namespace that its id names.
	if _, err := e.locks.TryLock(t.Context(), e.namespace+"/other"); err != nil {
		t.Fatal(err)
	}
	other := discoveredObject(e.namespace + "/other")
	e.appears(other)
	e.shows(soon, other, "Held True/Acquired")
	e.create("other", "")
	e.absent(soon, other)
	e.shows(soon, "other", "Ready True/Mirrored", "Held True/Acquired")
	e.remove("other")
	e.appears(other)
	e.shows(soon, other, "Held True/Acquired")

	// The lock is purged.
	if err := later.Unlock(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := e.documents().DeleteOne(t.Context(), bson.D{{Key: "_id", Value: "later"}}); err != nil {
		t.Fatal(err)
	}
	e.absent(deletionShows, discoveredObject("later"))
	e.shows(soon, "declared", "Held True/Acquired")
}

func (e *env) appears(name string) {
	e.Helper()
	e.eventually(soon, name+" appears", func() bool { return slices.Contains(e.objects(), name) })
}

// objects are the names of the objects in the test's namespace.
func (e *env) objects() (names []string) {
	e.Helper()
	var list v1alpha1.DistributedLockList
	if err := e.api.List(e.Context(), &list, client.InNamespace(e.namespace)); err != nil {
		e.Fatal(err)
	}
	for i := range list.Items {
		names = append(names, list.Items[i].Name)
	}
	return names
}

// recordedIDs is a queue that only remembers what was put into it.
type recordedIDs struct {
	workqueue.TypedRateLimitingInterface[string]
	ids []string
}

func (q *recordedIDs) Add(id string) { q.ids = append(q.ids, id) }

// After an outage the discovery looks at the locks that exist, and at those of the objects: they may have been purged meanwhile.
func TestDiscoveryIsWokenAfterAnOutage(t *testing.T) {
	lock := newLock("")
	wake := newWaker(fake.NewClientBuilder().WithScheme(scheme).WithObjects(lock).Build(), clocktesting.NewFakeClock(t0), logr.Discard())
	if err := wake.attach(t.Context(), &recordingQueue{}); err != nil {
		t.Fatal(err)
	}
	queue := &recordedIDs{}
	wake.discover(queue)
	wake.all(t.Context(), 0, []string{"some/lock"})
	if want := []string{"some/lock", "orders/report"}; !slices.Equal(queue.ids, want) {
		t.Errorf("looks at %q, want %q", queue.ids, want)
	}
}

func TestDiscoveredObject(t *testing.T) {
	names := map[string]string{}
	for _, id := range []string{"orders/report", "orders-report", "Orders/Report", "ä", "///", strings.Repeat("x", 512), strings.Repeat("ä/", 100), "a b", "550e8400-e29b-41d4-a716-446655440000"} {
		name := discoveredObject(id)
		if problems := validation.IsDNS1123Label(name); len(problems) > 0 {
			t.Errorf("%q has the name %q: %v", id, name, problems)
		}
		if other, taken := names[name]; taken {
			t.Errorf("%q and %q have the name %q", id, other, name)
		}
		names[name] = id
	}
	// Stable: an object is found again by the next version of the operator.
	if got, want := discoveredObject("orders/report"), "orders-report-c9bf0c05b5"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
