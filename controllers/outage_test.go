/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package controllers

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/mongolock/operator/hack/servers/servertest"
	"github.com/mongolock/operator/pkg/mongolock"
)

// While the API server is gone locks go on changing hands; afterwards each object is written once, and no transition is lost.
func TestAPIServerOutage(t *testing.T) {
	e := newEnv(t)
	config, way := e.relayed()
	e.start(operatorOptions{store: NewStore(e.connect(servertest.MongoDBURI())), config: config})
	e.create("busy", "")
	e.create("calm", "")
	first := e.acquire("busy", mongolock.WithOwner("a"))
	e.shows(soon, "busy", "Held True/Acquired")
	e.shows(soon, "calm", "Ready True/Mirrored")
	e.eventually(soon, "the first event", func() bool { return len(e.events("busy")) == 1 })
	w := e.watchWrites()

	way.set(true)
	e.release(first)
	second := e.acquire("busy", mongolock.WithOwner("b"))
	e.create("new", "")
	e.unchanged(w, 0, "busy", "calm", "new")
	way.set(false)

	lock := e.shows(2*soon, "busy", "Held True/Acquired")
	e.eventually(2*soon, "the new holder shows", func() bool { lock = e.get("busy"); return lock.Status.Holder == "b" })
	e.shows(2*soon, "new", "Ready True/Mirrored")
	e.unchanged(w, 1, "busy", "new")
	e.unchanged(w, 0, "calm")
	e.reports("busy",
		fmt.Sprintf(`LockAcquired: "a" acquired the lock with token %d`, first.Token()),
		fmt.Sprintf(`LockReleased: "a" released the lock with token %d`, first.Token()),
		fmt.Sprintf(`LockAcquired: "b" acquired the lock with token %d`, second.Token()))
}

// Somebody drops the collection: each object that showed a lock is written once, and the locks can be used again.
func TestCollectionIsDropped(t *testing.T) {
	e := newEnv(t)
	e.operate(servertest.MongoDBURI())
	for _, name := range []string{"held", "free", "never"} {
		e.create(name, "")
	}
	e.acquire("held", mongolock.WithAutoRenew(false), mongolock.WithLease(time.Hour))
	e.release(e.acquire("free"))
	e.shows(soon, "held", "Held True/Acquired")
	e.shows(soon, "free", "Held False/Released")
	e.shows(soon, "never", "Held False/NeverAcquired")
	w := e.watchWrites()
	if err := e.documents().Drop(context.WithoutCancel(t.Context())); err != nil {
		t.Fatal(err)
	}
	e.shows(deletionShows, "held", "Ready True/Mirrored", "Held False/Removed")
	e.eventually(soon, "the policy of the free lock is gone with it", func() bool { return e.get("free").Status.Capacity == 0 })
	e.unchanged(w, 1, "held", "free")
	e.unchanged(w, 0, "never")
	again := e.acquire("held", mongolock.WithOwner("next"))
	if lock := e.shows(soon, "held", "Held True/Acquired"); lock.Status.Holder != "next" || lock.Status.FencingToken != again.Token() {
		t.Errorf("status %+v", lock.Status)
	}
	e.unchanged(w, 2, "held")
}
