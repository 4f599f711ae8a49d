/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package resourcelock

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	rl "k8s.io/client-go/tools/leaderelection/resourcelock"

	"github.com/mongolock/operator/hack/servers/servertest"
	"github.com/mongolock/operator/pkg/mongolock"
)

// polled is a Get in the background.
type polled struct {
	record *rl.LeaderElectionRecord
	err    error
}

func poll(ctx context.Context, lock *Lock) <-chan polled {
	result := make(chan polled, 1)
	go func() {
		record, _, err := lock.Get(ctx)
		result <- polled{record, err}
	}()
	return result
}

// follow makes a candidate that has seen the leader, so that its next Get waits.
func follow(t *testing.T, lock *Lock) {
	t.Helper()
	record, _, err := lock.Get(t.Context())
	if err != nil || record.HolderIdentity == "" {
		t.Fatalf("nobody leads: %+v, %v", record, err)
	}
}

func answer(t *testing.T, limit time.Duration, result <-chan polled) polled {
	t.Helper()
	select {
	case p := <-result:
		return p
	case <-time.After(limit):
		t.Fatalf("Get has not returned within %s", limit)
		return polled{}
	}
}

func TestLongPollReturnsWhenTheLeaderReleases(t *testing.T) {
	s := newStore(t)
	client := s.client()
	leader, follower := newLock(t, client, "a"), newLock(t, s.client(), "b")
	lead(t, leader)
	follow(t, follower)
	result := poll(t.Context(), follower)
	for range 3 {
		if err := leader.Update(t.Context(), record("a")); err != nil {
			t.Fatal(err)
		}
		select {
		case p := <-result:
			t.Fatalf("Get returned at a renewal: %+v, %v", p.record, p.err)
		case <-time.After(testRetryPeriod): // nothing announces that nothing happens
		}
	}
	if err := leader.Update(t.Context(), releaseRecord()); err != nil {
		t.Fatal(err)
	}
	if p := answer(t, 2*slow, result); p.err != nil || p.record.HolderIdentity != "" {
		t.Errorf("Get returned %+v, %v", p.record, p.err)
	}
}

func TestLongPollReturnsWhenTheLeaseEnds(t *testing.T) {
	s := newStore(t)
	lead(t, newLock(t, s.client(), "a"))
	follower := newLock(t, s.client(), "b")
	follow(t, follower)
	p := answer(t, testLease+slow, poll(t.Context(), follower))
	if p.err != nil || p.record.HolderIdentity != "" || s.state(follower.client).Held() {
		t.Errorf("Get returned %+v, %v", p.record, p.err)
	}
}

func TestLongPollReturnsWhenSomebodyElseLeads(t *testing.T) {
	s := newStore(t)
	lead(t, newLock(t, s.client(), "a"))
	follower := newLock(t, s.client(), "b")
	follow(t, follower)
	result := poll(t.Context(), follower)
	s.delete()
	lead(t, newLock(t, s.client(), "c"))
	if p := answer(t, testLease+slow, result); p.err != nil && !apierrors.IsNotFound(p.err) || p.err == nil && p.record.HolderIdentity == "a" {
		t.Errorf("Get returned %+v, %v, and a has lost the lock", p.record, p.err) // between the two there was no document
	}
}

func TestV5LongPollEnds(t *testing.T) {
	s := newStore(t)
	leading := s.client()
	leader := newLock(t, leading, "a")
	lead(t, leader)
	client, proxy := s.proxied()
	follower := newLock(t, client, "b")

	follow(t, follower)
	ctx, cancel := context.WithCancel(t.Context())
	result := poll(ctx, follower)
	time.AfterFunc(testRetryPeriod, cancel)
	if p := answer(t, testRetryPeriod+slow/2, result); !errors.Is(p.err, context.Canceled) {
		t.Errorf("cancelled, it returned %+v, %v", p.record, p.err)
	}

	if err := leader.Update(t.Context(), record("a")); err != nil {
		t.Fatal(err)
	}
	follow(t, follower)
	result = poll(t.Context(), follower)
	proxy.Blackhole()
	defer proxy.Heal()
	if p := answer(t, testLease+follower.config.RequestTimeout+2*slow, result); p.err == nil {
		t.Errorf("with a dead connection it returned %+v", p.record)
	}
}

func TestLongPollCanBeSwitchedOff(t *testing.T) {
	s := newStore(t)
	client := s.client()
	lead(t, newLock(t, client, "a"))
	follower, err := New(client, Config{
		Namespace: testNamespace, Name: testName, Identity: "b", LeaseDuration: testLease, DisableLongPoll: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if p := answer(t, slow/2, poll(t.Context(), follower)); p.err != nil {
			t.Fatal(p.err)
		}
	}
}

// strict makes a candidate whose elector is to count leases itself.
func strict(t *testing.T, client *mongolock.Client, identity string) *Lock {
	t.Helper()
	lock, err := New(client, Config{
		Namespace: testNamespace, Name: testName, Identity: identity, LeaseDuration: testLease, DisableFastGet: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	return lock
}

// Without fast Get the record of a dead leader stands, and its raw form does not change, whether the server has noticed its end or not.
func TestStrictGet(t *testing.T) {
	s := newStore(t)
	old := s.connect(servertest.MongoDBURI(), mongolock.WithoutRelease())
	lead(t, newLock(t, old, "dead"))
	client := s.client()
	seen, late := strict(t, client, "b"), strict(t, client, "c")
	_, before, err := seen.Get(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := old.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.waitExpired(client)
	get := func(lock *Lock) []byte {
		t.Helper()
		record, raw, err := lock.Get(t.Context())
		if err != nil || record.HolderIdentity != "dead" || record.LeaseDurationSeconds != int(testLease/time.Second) {
			t.Fatalf("%s got %+v, %v", lock.Identity(), record, err)
		}
		return raw
	}
	if after := get(seen); !bytes.Equal(after, before) {
		t.Errorf("the end of the lease made %q of %q", after, before)
	}
	first := get(late)
	watcher, err := client.Watch(t.Context(), testID) // which records expiries
	if err != nil {
		t.Fatal(err)
	}
	defer watcher.Close()
	eventually(t, 5*slow, "the expiry is recorded", func() bool {
		events := s.state(client).Events
		return events[len(events)-1].Type == mongolock.EventExpired
	})
	if after := get(seen); !bytes.Equal(after, before) {
		t.Errorf("the expiry made %q of %q", after, before)
	}
	if after := get(late); !bytes.Equal(after, first) {
		t.Errorf("the expiry made %q of %q", after, first)
	}
	if err := late.Update(t.Context(), record("c")); err != nil {
		t.Errorf("the server refuses what is free: %v", err)
	}
	if err := late.Update(t.Context(), releaseRecord()); err != nil {
		t.Fatal(err)
	}
	if record, _, err := strict(t, client, "d").Get(t.Context()); err != nil || record.HolderIdentity != "" {
		t.Errorf("after a release: %+v, %v", record, err)
	}
}
