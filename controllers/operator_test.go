/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package controllers

import (
	"fmt"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/mongolock/operator/api/v1alpha1"
	"github.com/mongolock/operator/hack/faultproxy"
	"github.com/mongolock/operator/hack/servers/servertest"
	"github.com/mongolock/operator/pkg/mongolock"
)

// The life of a lock shows in status and events, each step soon after it happened.
func TestMirror(t *testing.T) {
	e := newEnv(t)
	e.operate(servertest.MongoDBURI())
	e.create("life", "")
	e.shows(soon, "life", "Ready True/Mirrored", "Held False/NeverAcquired")

	first := e.acquire("life", mongolock.WithOwner("a"))
	lock := e.shows(prompt, "life", "Held True/Acquired")
	if h := lock.Status.Holders; len(h) != 1 || h[0].Owner != "a" || h[0].Token != first.Token() || !h[0].AcquiredAt.Time.Equal(first.AcquiredAt()) ||
		lock.Status.Transitions != 1 || lock.Status.HolderCount != 1 {
		t.Errorf("status is %+v, lease has token %d of %s", lock.Status, first.Token(), first.AcquiredAt())
	}
	e.release(first)
	e.shows(prompt, "life", "Held False/Released")

	const lease = 4 * time.Second
	dies := e.acquire("life", mongolock.WithOwner("b"), mongolock.WithLease(lease), mongolock.WithAutoRenew(false))
	e.shows(prompt, "life", "Held True/Acquired")
	lock = e.shows(lease+prompt, "life", "Held False/Expired")
	if lock.Status.FencingToken != dies.Token() || lock.Status.Transitions != 2 || lock.Status.Holder != "" || lock.Status.HolderCount != 0 {
		t.Errorf("status is %+v", lock.Status)
	}
	e.reports("life",
		fmt.Sprintf(`LockAcquired: "a" acquired the lock with token %d`, first.Token()),
		fmt.Sprintf(`LockReleased: "a" released the lock with token %d`, first.Token()),
		fmt.Sprintf(`LockAcquired: "b" acquired the lock with token %d`, dies.Token()),
		fmt.Sprintf(`LockExpired: The lease of "b" with token %d ended without a release`, dies.Token()),
	)
}

// Renewals, which are nearly all that happens in MongoDB, cost nothing in the cluster.
func TestRenewalsWriteNothing(t *testing.T) {
	e := newEnv(t)
	e.operate(servertest.MongoDBURI())
	e.create("renewed", "")
	lease := e.acquire("renewed")
	before := e.shows(soon, "renewed", "Held True/Acquired").ResourceVersion
	// The feed looks several times meanwhile.
	renewals := 0
	for deadline := time.Now().Add(quiet); time.Now().Before(deadline); renewals++ {
		if err := lease.Renew(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if after := e.get("renewed").ResourceVersion; after != before || renewals < 20 {
		t.Errorf("resourceVersion went from %s to %s over %d renewals", before, after, renewals)
	}
	state, err := e.locks.Get(t.Context(), lease.ID())
	if err != nil || len(state.Holders) != 1 || state.Holders[0].Revision < int64(renewals) {
		t.Errorf("after %d renewals the lock is %+v, %v", renewals, state, err)
	}
}

// Many transitions at once are two writes, of the first and of the last, and yet an event each.
func TestBurstIsTwoWrites(t *testing.T) {
	e := newEnv(t)
	feed := newFakeFeed()
	e.start(operatorOptions{store: &fakeStore{feed: feed}})
	e.create("burst", "")
	e.shows(soon, "burst", "Ready True/Mirrored")
	w := e.watchWrites()
	var all []mongolock.Event
	for i := int64(1); i <= 10; i++ {
		all = append(all, transition(i, mongolock.EventAcquired, fmt.Sprint("owner-", i), i))
		state := lockState(all, fmt.Sprint("owner-", i))
		state.ID = e.namespace + "/burst"
		feed.changes <- mongolock.Change{State: state, Events: all[i-1:]}
	}
	e.eventually(soon, "the last holder shows", func() bool { return e.get("burst").Status.Holder == "owner-10" })
	e.eventually(soon, "the watch has seen it", func() bool { return w.of("burst") > 0 })
	// A third one if this machine takes longer than the window for the ten.
	if n := w.of("burst"); n > 3 {
		t.Errorf("%d writes for ten transitions at once", n)
	}
	var want []string
	for i := 1; i <= 10; i++ {
		want = append(want, fmt.Sprintf(`LockAcquired: "owner-%d" acquired the lock with token %d`, i, i))
	}
	e.reports("burst", want...)
}

// A store that does not answer is one write per object, and so is its recovery; what was known stays.
func TestOutage(t *testing.T) {
	t.Parallel()
	for _, fault := range []string{"refuse", "blackhole"} {
		t.Run(fault, func(t *testing.T) {
			e := newEnv(t)
			proxy := e.proxy()
			e.operate(proxy.URI())
			e.create("held", "")
			e.create("free", "")
			e.acquire("held", mongolock.WithOwner("a"))
			e.shows(soon, "held", "Held True/Acquired")
			e.shows(soon, "free", "Held False/NeverAcquired")
			w := e.watchWrites()

			if fault == "refuse" {
				proxy.Refuse()
			} else {
				proxy.Blackhole()
			}
			for _, name := range []string{"held", "free"} {
				e.shows(soon, name, "Ready False/StoreUnreachable")
			}
			if s := e.get("held").Status; s.Holder != "a" || s.State != v1alpha1.StateHeld || conditionOf(s, "Held") != "True/Acquired" {
				t.Errorf("the last known holder is gone: %+v", s)
			}
			e.create("late", "") // made in the outage
			e.shows(soon, "late", "Ready False/StoreUnreachable", "Held Unknown/NotMirrored")
			e.unchanged(w, 1, "held", "free")

			proxy.Heal()
			for _, name := range []string{"held", "free", "late"} {
				e.shows(soon, name, "Ready True/Mirrored")
			}
			e.unchanged(w, 2, "held", "free")
			e.reports("free", "StoreUnreachable: "+storeMessages["StoreUnreachable"], "StoreRecovered: The status shows the lock as MongoDB has it again.")
		})
	}
}

// A hiccup of a few seconds, such as a failover, touches no object.
func TestHiccup(t *testing.T) {
	e := newEnv(t)
	proxy := e.proxy()
	e.operate(proxy.URI())
	e.create("calm", "")
	e.shows(soon, "calm", "Ready True/Mirrored")
	w := e.watchWrites()
	proxy.Refuse()
	time.Sleep(3 * time.Second) // an outage that is too short to be one
	proxy.Heal()
	lease := e.acquire("calm") // and the feed goes on afterwards
	e.shows(soon, "calm", "Held True/Acquired")
	e.unchanged(w, 1, "calm")
	e.release(lease)
}

// A restart writes nothing and reports nothing again.
func TestRestart(t *testing.T) {
	e := newEnv(t)
	first := e.operate(servertest.MongoDBURI())
	for _, name := range []string{"never", "held", "released"} {
		e.create(name, "")
	}
	e.create("foreign", "elsewhere/lock")
	e.acquire("held")
	e.release(e.acquire("released"))
	e.shows(soon, "never", "Held False/NeverAcquired")
	e.shows(soon, "held", "Held True/Acquired")
	e.shows(soon, "released", "Held False/Released")
	e.shows(soon, "foreign", "Stalled True/IdNotAllowed")
	e.eventually(soon, "all events are there", func() bool { return len(e.events("held")) == 1 && len(e.events("released")) == 2 })
	first.stop()

	w := e.watchWrites()
	e.operate(servertest.MongoDBURI())
	e.create("marker", "") // when this one shows, the new one works
	e.shows(soon, "marker", "Ready True/Mirrored")
	e.unchanged(w, 0, "never", "held", "released", "foreign")
	if n, m := len(e.events("held")), len(e.events("released")); n != 1 || m != 2 {
		t.Errorf("%d and %d events after the restart, want 1 and 2", n, m)
	}
}

// What happened while no operator ran is shown and reported once it runs.
func TestCatchUp(t *testing.T) {
	e := newEnv(t)
	first := e.operate(servertest.MongoDBURI())
	e.create("missed", "")
	e.shows(soon, "missed", "Held False/NeverAcquired")
	first.stop()
	lease := e.acquire("missed", mongolock.WithOwner("a"))
	e.operate(servertest.MongoDBURI())
	e.shows(soon, "missed", "Held True/Acquired")
	e.reports("missed", fmt.Sprintf(`LockAcquired: "a" acquired the lock with token %d`, lease.Token()))
}

// An object shows the locks of its own namespace only, unless the operator is told otherwise. Nothing leaks, not even what was shown before.
func TestForeignID(t *testing.T) {
	e := newEnv(t)
	if _, err := e.locks.TryLock(t.Context(), "elsewhere/secret", mongolock.WithOwner("somebody")); err != nil {
		t.Fatal(err)
	}
	client := e.connect(servertest.MongoDBURI())
	lenient := e.start(operatorOptions{store: NewStore(client), allowForeign: true})
	e.create("foreign", "elsewhere/secret")
	if lock := e.shows(soon, "foreign", "Ready True/Mirrored", "Held True/Acquired"); lock.Status.Holder != "somebody" {
		t.Errorf("holder is %q", lock.Status.Holder)
	}
	lenient.stop()
	e.start(operatorOptions{store: NewStore(client)})
	lock := e.shows(soon, "foreign", "Ready False/IdNotAllowed", "Stalled True/IdNotAllowed", "Held Unknown/NotMirrored")
	if s := lock.Status; s.Holder != "" || len(s.Holders)+len(s.Events) > 0 || s.State != "" || s.FencingToken != 0 {
		t.Errorf("the status still shows the lock: %+v", s)
	}
}

// A document that is not a lock is left alone, and the object says so until it is gone.
func TestForeignDocument(t *testing.T) {
	e := newEnv(t)
	driver, err := mongo.Connect(options.Client().ApplyURI(servertest.MongoDBURI()))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = driver.Disconnect(t.Context()) }()
	documents := driver.Database(e.database).Collection(mongolock.DefaultCollection)
	document := bson.D{{Key: "_id", Value: e.namespace + "/taken"}, {Key: "cart", Value: "three apples"}}
	if _, err := documents.InsertOne(t.Context(), document); err != nil {
		t.Fatal(err)
	}
	first := e.operate(servertest.MongoDBURI())
	w := e.watchWrites()
	e.create("taken", "")
	e.shows(soon, "taken", "Ready False/ForeignDocument", "Stalled True/ForeignDocument", "Held Unknown/NotMirrored")
	e.unchanged(w, 1, "taken")
	var found bson.D
	if err := documents.FindOne(t.Context(), document[:1]).Decode(&found); err != nil || len(found) != 2 {
		t.Errorf("the document was touched: %v %v", found, err)
	}
	if _, err := documents.DeleteOne(t.Context(), document[:1]); err != nil {
		t.Fatal(err)
	}
	first.stop()
	e.operate(servertest.MongoDBURI()) // as the look every ten minutes would
	e.shows(soon, "taken", "Ready True/Mirrored", "Held False/NeverAcquired", "Stalled absent")
}

// Deleting an object touches no lock, and needs no operator. A new object of that name shows the lock again.
func TestDeletion(t *testing.T) {
	e := newEnv(t)
	e.operate(servertest.MongoDBURI())
	e.create("kept", "")
	lease := e.acquire("kept")
	lock := e.shows(soon, "kept", "Held True/Acquired")
	if len(lock.Finalizers) > 0 {
		t.Errorf("finalizers %v", lock.Finalizers)
	}
	if err := e.api.Delete(t.Context(), lock); err != nil {
		t.Fatal(err)
	}
	if err := e.api.Get(t.Context(), client.ObjectKeyFromObject(lock), lock); client.IgnoreNotFound(err) != nil || err == nil {
		t.Errorf("the object is still there: %v", err)
	}
	if err := lease.Renew(t.Context()); err != nil {
		t.Errorf("the lock was touched: %v", err)
	}
	e.create("kept", "")
	if s := e.shows(soon, "kept", "Held True/Acquired").Status; s.FencingToken != lease.Token() {
		t.Errorf("token %d, want %d", s.FencingToken, lease.Token())
	}
}

// Without a connection string the objects say what is missing.
func TestNotConfigured(t *testing.T) {
	e := newEnv(t)
	e.start(operatorOptions{})
	w := e.watchWrites()
	e.create("lost", "")
	e.shows(soon, "lost", "Ready False/StoreNotConfigured", "Held Unknown/NotMirrored")
	e.unchanged(w, 1, "lost")
	e.reports("lost", "StoreNotConfigured: "+storeMessages["StoreNotConfigured"])
}

// One that has no connection string does not talk over a leader that has one.
func TestNotConfiguredBesideALeader(t *testing.T) {
	e := newEnv(t)
	e.operate(servertest.MongoDBURI())
	e.create("shown", "")
	e.shows(soon, "shown", "Ready True/Mirrored")
	w := e.watchWrites()
	e.start(operatorOptions{standbyDelay: time.Hour})
	e.unchanged(w, 0, "shown")
}

// proxy is a MongoDB that can fail.
func (e *env) proxy() *faultproxy.Proxy {
	e.Helper()
	proxy, err := faultproxy.Start(servertest.MongoDBURI())
	if err != nil {
		e.Fatal(err)
	}
	e.Cleanup(proxy.Close)
	return proxy
}
