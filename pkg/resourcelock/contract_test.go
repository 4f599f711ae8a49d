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
	"fmt"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/mongolock/operator/pkg/mongolock"
)

func TestC1AbsentIsNotFound(t *testing.T) {
	s := newStore(t)
	lock := newLock(t, s.client(), "a")
	record, raw, err := lock.Get(t.Context())
	if !apierrors.IsNotFound(err) || !apierrors.IsNotFound(fmt.Errorf("wrapped: %w", err)) {
		t.Fatalf("want NotFound, got %v", err)
	}
	if record != nil || raw != nil {
		t.Fatalf("got a record with the error: %v %q", record, raw)
	}
}

func TestC2RawChangesWithEachRenewalAndOnlyThen(t *testing.T) {
	s := newStore(t)
	client := s.client()
	leader, follower := newLock(t, client, "a"), newLock(t, client, "b")
	follower.polls.Store(false) // it would wait for another holder
	lead(t, leader)
	seen := map[string]bool{}
	for range 100 {
		_, raw, err := follower.Get(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if seen[string(raw)] {
			t.Fatalf("raw %q did not change with the renewal", raw)
		}
		seen[string(raw)] = true
		if err := leader.Update(t.Context(), record("a")); err != nil {
			t.Fatal(err)
		}
	}
	_, first, err := follower.Get(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for range 300 {
		if _, raw, err := follower.Get(t.Context()); err != nil || !bytes.Equal(raw, first) {
			t.Fatalf("raw changed without a renewal: %q, then %q, %v", first, raw, err)
		}
	}
}

func TestC3RecordIsTheCallersOwn(t *testing.T) {
	s := newStore(t)
	lock := newLock(t, s.client(), "a")
	lead(t, lock)
	first, raw, err := lock.Get(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := *first
	first.HolderIdentity, first.LeaderTransitions = "overwritten", 99
	clear(raw)
	second, raw, err := lock.Get(t.Context())
	if err != nil || !reflect.DeepEqual(*second, want) || raw[0] == 0 {
		t.Fatalf("want %v, got %v, %q, %v", want, second, raw, err)
	}
}

func TestRecordFields(t *testing.T) {
	s := newStore(t)
	client := s.client()
	a, b := newLock(t, client, "a"), newLock(t, client, "b")
	lead(t, a)
	got, _, err := b.Get(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	h := s.state(client).Holders[0]
	if got.HolderIdentity != "a" || got.LeaseDurationSeconds != 2 || got.LeaderTransitions != 0 ||
		!got.AcquireTime.Time.Equal(h.AcquiredAt) || !got.RenewTime.Time.Equal(h.ExpiresAt.Add(-testLease)) {
		t.Fatalf("got %+v for %+v", got, h)
	}
	if err := a.Update(t.Context(), releaseRecord()); err != nil {
		t.Fatal(err)
	}
	free, _, err := b.Get(t.Context())
	if err != nil || free.HolderIdentity != "" || free.LeaderTransitions != 0 {
		t.Fatalf("after the release: %+v, %v", free, err)
	}
	lead(t, b)
	if got, _, err = a.Get(t.Context()); err != nil || got.HolderIdentity != "b" || got.LeaderTransitions != 1 {
		t.Fatalf("after the second election: %+v, %v", got, err)
	}
}

func TestC4CreateOnExistingIsAlreadyExists(t *testing.T) {
	s := newStore(t)
	client := s.client()
	a, b := newLock(t, client, "a"), newLock(t, client, "b")
	lead(t, a)
	refused := func(who *Lock) {
		t.Helper()
		before := s.state(client)
		if err := who.Create(t.Context(), record(who.Identity())); !apierrors.IsAlreadyExists(err) {
			t.Fatalf("want AlreadyExists, got %v", err)
		}
		after := s.state(client)
		if after.Seq != before.Seq || after.Token != before.Token || after.Held() != before.Held() {
			t.Fatalf("changed from %+v to %+v", before, after)
		}
	}
	refused(b)
	refused(a) // the leader itself
	if err := a.Update(t.Context(), releaseRecord()); err != nil {
		t.Fatal(err)
	}
	refused(b) // a free record is a record
}

func TestC5UpdateBeforeGetIsAnError(t *testing.T) {
	s := newStore(t)
	client := s.client()
	lock := newLock(t, client, "a")
	if err := lock.Update(t.Context(), record("a")); err == nil || apierrors.IsConflict(err) {
		t.Fatalf("want a plain error, got %v", err)
	}
	if err := lock.Update(t.Context(), releaseRecord()); err != nil {
		t.Fatalf("there is nothing to release: %v", err)
	}
	if state := s.state(client); state.Exists {
		t.Fatalf("something was stored: %+v", state)
	}
}

// recorder takes events like a real one, or never returns until it is let go.
type recorder struct {
	hang <-chan struct{}

	mu     sync.Mutex
	events []string
	calls  int
}

func (r *recorder) Eventf(object runtime.Object, eventType, reason, message string, args ...any) {
	r.mu.Lock()
	r.calls++
	r.mu.Unlock()
	if r.hang != nil {
		<-r.hang
	}
	ref := object.(*corev1.ObjectReference)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, fmt.Sprintf("%s %s/%s %s %s: %s",
		ref.Kind, ref.Namespace, ref.Name, eventType, reason, fmt.Sprintf(message, args...)))
}

func (r *recorder) list() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]string(nil), r.events...)
}

func TestC6RecordEvent(t *testing.T) {
	s := newStore(t)
	client := s.client()
	config := Config{Namespace: testNamespace, Name: testName, Identity: "100% a", LeaseDuration: testLease}

	t.Run("without a recorder, before any call", func(t *testing.T) {
		lock := newLock(t, client, "a")
		for _, what := range []string{becameLeader, stoppedLeading, "", "anything"} {
			lock.RecordEvent(what)
		}
		if isClosed(lock.Lost()) {
			t.Fatal("a term that never began has ended")
		}
	})
	t.Run("in order", func(t *testing.T) {
		config.EventRecorder = &recorder{}
		lock, err := New(client, config)
		if err != nil {
			t.Fatal(err)
		}
		lock.RecordEvent(becameLeader)
		lock.RecordEvent(stoppedLeading)
		want := []string{
			"DistributedLock default/leader Normal LeaderElection: 100% a became leader",
			"DistributedLock default/leader Normal LeaderElection: 100% a stopped leading",
		}
		eventually(t, slow, "two events", func() bool { return len(config.EventRecorder.(*recorder).list()) == 2 })
		if got := config.EventRecorder.(*recorder).list(); !reflect.DeepEqual(got, want) {
			t.Fatalf("got %q", got)
		}
	})
	t.Run("with a recorder that hangs", func(t *testing.T) {
		hang := make(chan struct{})
		r := &recorder{hang: hang}
		config.EventRecorder = r
		lock, err := New(client, config)
		if err != nil {
			t.Fatal(err)
		}
		begin := time.Now()
		for range 10 * maxPending {
			lock.RecordEvent(becameLeader)
		}
		if took := time.Since(begin); took > slow {
			t.Fatalf("the elector waited %s", took)
		}
		close(hang)
		eventually(t, slow, "the events kept", func() bool { return len(r.list()) >= maxPending })
		if got := len(r.list()); got > maxPending+1 {
			t.Fatalf("%d events were kept for a recorder that hangs, the limit is %d", got, maxPending)
		}
	})
}

func TestC7IdentityAndDescribeNeedNoServer(t *testing.T) {
	s := newStore(t)
	client, proxy := s.proxied()
	lock := newLock(t, client, "a")
	c := run(t, lock, true)
	within(t, slow, c.elected, "election")
	proxy.Blackhole()
	defer proxy.Heal()
	begin := time.Now()
	for range 10_000 {
		if lock.Identity() != "a" || lock.Describe() != "default/leader" {
			t.Fatalf("got %q, %q", lock.Identity(), lock.Describe())
		}
		lock.Token()
		lock.Lost()
		_ = lock.Healthz(nil)
	}
	if took := time.Since(begin); took > slow {
		t.Fatalf("took %s", took)
	}
}

func TestC8CreateWithoutHolder(t *testing.T) {
	s := newStore(t)
	client := s.client()
	a := newLock(t, client, "a")
	if err := a.Create(t.Context(), releaseRecord()); err != nil {
		t.Fatal(err)
	}
	if state := s.state(client); state.Held() || state.Token != 0 {
		t.Fatalf("something was acquired: %+v", state)
	}
	lead(t, a)
	b := newLock(t, client, "b")
	if err := b.Create(t.Context(), releaseRecord()); err != nil {
		t.Fatal(err)
	}
	if state := s.state(client); len(state.Holders) != 1 || state.Holders[0].Owner != "a" {
		t.Fatalf("another's record was changed: %+v", state)
	}
}

func TestC9ExactlyOneOfManyWins(t *testing.T) {
	s := newStore(t)
	client := s.client()
	race := func(t *testing.T, call func(*Lock) error, refused func(error) bool) {
		t.Helper()
		var group sync.WaitGroup
		locks := make([]*Lock, 50)
		errs := make([]error, len(locks))
		for i, name := range names(len(locks)) {
			locks[i] = newLock(t, client, name)
			locks[i].seen.Store(true)
			group.Go(func() { errs[i] = call(locks[i]) })
		}
		group.Wait()
		var winner *Lock
		for i, err := range errs {
			switch {
			case err == nil && winner == nil:
				winner = locks[i]
			case err == nil:
				t.Fatalf("%s and %s both won", winner.Identity(), locks[i].Identity())
			case !refused(err):
				t.Fatalf("%s: %v", locks[i].Identity(), err)
			}
		}
		if winner == nil {
			t.Fatal("nobody won")
		}
		if err := winner.Update(t.Context(), releaseRecord()); err != nil {
			t.Fatal(err)
		}
	}
	t.Run("create", func(t *testing.T) {
		race(t, func(l *Lock) error { return l.Create(t.Context(), record(l.Identity())) }, apierrors.IsAlreadyExists)
	})
	t.Run("take over", func(t *testing.T) {
		race(t, func(l *Lock) error { return l.Update(t.Context(), record(l.Identity())) }, apierrors.IsConflict)
	})
}

func TestRecordsOfOthersAreRefused(t *testing.T) {
	s := newStore(t)
	client := s.client()
	lock := newLock(t, client, "a")
	other := record("somebody else")
	longer := record("a")
	longer.LeaseDurationSeconds = 60
	for what, r := range map[string]struct {
		record func(context.Context) error
		text   string
	}{
		"create for another": {func(ctx context.Context) error { return lock.Create(ctx, other) }, "somebody else"},
		"update for another": {func(ctx context.Context) error { return lock.Update(ctx, other) }, "somebody else"},
		"create with the elector's own lease": {func(ctx context.Context) error { return lock.Create(ctx, longer) },
			"the elector's lease duration is 1m0s, but the lock's is 2s"},
		"update with the elector's own lease": {func(ctx context.Context) error { return lock.Update(ctx, longer) },
			"the elector's lease duration is 1m0s, but the lock's is 2s"},
	} {
		err := r.record(t.Context())
		if !errors.Is(err, mongolock.ErrInvalid) || !strings.Contains(err.Error(), r.text) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if state := s.state(client); state.Exists {
		t.Fatalf("something was stored: %+v", state)
	}
}
