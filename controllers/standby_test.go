/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package controllers

import (
	"testing"
	"time"

	"github.com/mongolock/operator/hack/servers/servertest"
)

// A standby keeps its hands off, and writes everything when it is elected.
func TestStandbyWritesNothingUntilElected(t *testing.T) {
	e := newEnv(t)
	other := e.acquire("operator")
	client := e.connect(servertest.MongoDBURI())
	standby := e.start(operatorOptions{store: NewStore(client), election: client})
	e.create("object", "")
	w := e.watchWrites()
	e.acquire("object")
	e.unchanged(w, 0, "object")

	e.release(other)
	select {
	case <-standby.elected:
	case <-time.After(soon):
		t.Fatal("not elected")
	}
	e.shows(prompt, "object", "Held True/Acquired")
}

// When the store is gone there is no leader, so a standby says so; and a standby that alone is cut off says it once, is put right by
// the leader, and does not insist.
func TestStandbyReportsAnOutageOnce(t *testing.T) {
	e := newEnv(t)
	e.acquire("operator") // by somebody else: the standby stays one
	proxy := e.proxy()
	e.start(operatorOptions{store: NewStore(e.connect(proxy.URI())), election: e.connect(servertest.MongoDBURI()),
		standbyDelay: patience + time.Second})
	leader := e.operate(servertest.MongoDBURI())
	e.create("one", "")
	e.shows(soon, "one", "Ready True/Mirrored")
	w := e.watchWrites()

	proxy.Refuse()
	const outage, recovery = 1, 1
	e.eventually(soon, "the standby is put right", func() bool { return w.of("one") == outage+recovery })
	e.unchanged(w, outage+recovery, "one")
	e.shows(soon, "one", "Ready True/Mirrored")

	// Nobody leads any more: what the standby saw then is all that people have.
	leader.stop()
	e.create("new", "")
	e.shows(soon, "new", "Ready False/StoreUnreachable")
}
