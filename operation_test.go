/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package main

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"testing"

	eventsv1 "k8s.io/api/events/v1"

	"github.com/mongolock/operator/hack/faultproxy"
	"github.com/mongolock/operator/hack/servers/servertest"
	"github.com/mongolock/operator/pkg/mongolock"
)

// notes are the notes of the events about an object in the namespace default.
func notes(t *testing.T, name string) (notes []string) {
	t.Helper()
	var list eventsv1.EventList
	if err := json.Unmarshal([]byte(kubectl(t, "get", "events.events.k8s.io", "-n", "default", "-o", "json")), &list); err != nil {
		t.Fatal(err)
	}
	for i := range list.Items {
		if e := &list.Items[i]; e.Regarding.Kind == "DistributedLock" && e.Regarding.Name == name {
			notes = append(notes, e.Note)
			if e.Series != nil {
				t.Errorf("events were merged into one: %+v", e)
			}
		}
	}
	return notes
}

// The operator is killed with -9 again and again while a lock changes hands: it catches up, and tells nothing twice.
func (c *cluster) testKilled(t *testing.T) {
	database := servertest.Database(t)
	args := []string{"--mongodb-uri-file=" + writeFile(t, servertest.MongoDBURI()), "--mongodb-database=" + database, "--leader-elect=false"}
	locks := connect(t, database)
	kubectl(t, "create", "-f", writeFile(t, "apiVersion: locks.mongolock.dev/v1alpha1\nkind: DistributedLock\nmetadata: {name: battered, namespace: default}\n"))
	for range 4 {
		o := c.start(t, nil, args...)
		for range 3 {
			lease, err := locks.TryLock(t.Context(), "default/battered", mongolock.WithOwner("worker"))
			if err != nil {
				t.Fatal(err)
			}
			if err := lease.Unlock(t.Context()); err != nil {
				t.Fatal(err)
			}
			shown := "jsonpath={.status.fencingToken}=" + strconv.FormatInt(lease.Token(), 10)
			kubectl(t, "wait", "-n", "default", "dlock/battered", "--for="+shown, "--timeout="+soon.String())
		}
		if err := o.cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		<-o.ended
	}
	o := c.start(t, nil, args...)
	waitFor(t, "default", "battered", "Held=false")
	waitForReason(t, "Mirrored")
	o.stop(t, 0)
	told := notes(t, "battered")
	slices.Sort(told)
	if once := slices.Compact(slices.Clone(told)); len(once) != len(told) || len(told) < 12 {
		t.Errorf("%d events, of which %d differ: %q", len(told), len(once), told)
	}
}

// MongoDB is gone and back: the process lives on, and grows by nothing.
func (c *cluster) testOutages(t *testing.T) {
	proxy, err := faultproxy.Start(servertest.MongoDBURI())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(proxy.Close)
	o := c.start(t, nil, "--mongodb-uri-file="+writeFile(t, proxy.URI()), "--mongodb-database="+servertest.Database(t), "--leader-elect=false", "--metrics-secure=false")
	waitForReason(t, "Mirrored")
	outage := func(begin func()) {
		begin()
		waitForReason(t, "StoreUnreachable")
		o.serves(t, "/healthz")
		o.serves(t, "/readyz")
		proxy.Heal()
		waitForReason(t, "Mirrored")
	}
	outage(proxy.Refuse)
	before := o.metric(t, "go_goroutines")
	outage(proxy.Blackhole)
	const slack = 5 // connections to the API server that idle
	await(t, "no more goroutines than before", func() bool { return o.metric(t, "go_goroutines") <= before+slack })
	o.stop(t, 0)
}

// Policy, eviction and discovery work with the rights of config/, and no more.
func (c *cluster) testAdministration(t *testing.T) {
	kubectl(t, "apply", "--server-side", "-k", "config/discovery")
	database := servertest.Database(t)
	o := c.start(t, []string{"MONGOLOCK_MIRROR_UNDECLARED=mongolock-discovered"},
		"--mongodb-uri-file="+writeFile(t, servertest.MongoDBURI()), "--mongodb-database="+database, "--leader-elect=false")
	locks := connect(t, database)
	await(t, "the policy is in MongoDB", func() bool {
		state, err := locks.Get(t.Context(), "default/thumbnails")
		if err != nil {
			t.Fatal(err)
		}
		return state.Policy.Capacity == 3
	})

	lease, err := locks.TryLock(t.Context(), "default/nightly-report", mongolock.WithOwner("zombie"))
	if err != nil {
		t.Fatal(err)
	}
	waitFor(t, "default", "nightly-report", "Held=true")
	kubectl(t, "annotate", "dlock", "nightly-report", "-n", "default", "locks.mongolock.dev/evict="+strconv.FormatInt(lease.Token(), 10))
	waitFor(t, "default", "nightly-report", "Held=false")
	await(t, "the annotation is gone", func() bool {
		return kubectl(t, "get", "dlock", "nightly-report", "-n", "default", "-o", "jsonpath={.metadata.annotations}") == ""
	})

	if _, err := locks.TryLock(t.Context(), "billing/invoices", mongolock.WithOwner("biller")); err != nil {
		t.Fatal(err)
	}
	await(t, "the lock shows that no object declares", func() bool {
		return strings.Contains(kubectl(t, "get", "dlock", "-A", "--field-selector", "status.holder=biller"), "mongolock-discovered")
	})

	kubectl(t, "delete", "dlock", "thumbnails", "-n", "default", "--timeout="+soon.String())
	if state, err := locks.Get(t.Context(), "default/thumbnails"); err != nil || state.Policy.Capacity != 1 {
		t.Errorf("after the deletion the policy is %+v, %v", state.Policy, err)
	}
	kubectl(t, "delete", "dlock", "--all", "-n", "mongolock-discovered", "--timeout="+soon.String())
	o.stop(t, 0)
	kubectl(t, "delete", "dlock", "--all", "-n", "mongolock-discovered", "--timeout="+soon.String()) // it made them again
	applySamples(t, c.leader)
}
