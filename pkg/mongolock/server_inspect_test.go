/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package mongolock

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/mongolock/operator/hack/servers/servertest"
)

func TestGet(t *testing.T) {
	s := newTestServer(t)
	c := s.client(t)
	if state, err := c.Get(t.Context(), "x"); err != nil || state.Exists || state.Held() || state.ID != "x" {
		t.Errorf("absent lock: %+v, %v", state, err)
	}
	lease := mustLock(t, c, "x", WithOwner("me"), WithLease(20*time.Second), WithMetadata(map[string]string{"pod": "a"}))
	state, err := c.Get(t.Context(), "x")
	if err != nil || !state.Exists || !state.Held() {
		t.Fatalf("held lock: %+v, %v", state, err)
	}
	h := state.Holders[0]
	if h.Owner != "me" || h.Token != lease.Token() || h.Lease != 20*time.Second || h.Metadata["pod"] != "a" || h.Revision != 0 ||
		!h.AcquiredAt.Equal(lease.AcquiredAt()) || !h.ExpiresAt.Equal(h.AcquiredAt.Add(20*time.Second)) {
		t.Errorf("holder %+v", h)
	}
	if state.Token != lease.Token() || state.Grants != 1 || state.Seq != 1 || len(state.Events) != 1 || state.ReadAt.Before(state.ChangedAt) {
		t.Errorf("state %+v", state)
	}
	mustUnlock(t, lease)
	if state, err := c.Get(t.Context(), "x"); err != nil || !state.Exists || state.Held() || state.Token != lease.Token() {
		t.Errorf("released lock: %+v, %v", state, err)
	}
	// An expired holder is no holder, also before anybody has swept it.
	expired := mustLock(t, c, "x", WithAutoRenew(false))
	s.endLease(t, "x", expired.AcquiredAt())
	eventually(t, time.Second, "the server sees the expiry", func() bool {
		state, err := c.Get(t.Context(), "x")
		return err == nil && !state.Held() && len(s.stored(t, "x").State.Holders) == 1
	})
}

func TestList(t *testing.T) {
	s := newTestServer(t)
	c := s.client(t)
	var want []string
	documents := make([]any, 0, 2*listPage)
	for i := range 2*listPage + 7 { // more than two pages
		id := fmt.Sprintf("bulk/%05d", i)
		want = append(want, id)
		documents = append(documents, stub(id, time.Now()))
	}
	if _, err := s.collection().InsertMany(t.Context(), documents); err != nil {
		t.Fatal(err)
	}
	other := mustLock(t, c, "bulk2", WithOwner("other"))
	held := mustLock(t, c, "bulk/00042", WithOwner("me"))
	collect := func(opts ...ListOption) (ids []string) {
		for state, err := range c.List(t.Context(), opts...) {
			if err != nil {
				t.Fatal(err)
			}
			ids = append(ids, state.ID)
		}
		return ids
	}
	if got := collect(WithIDs("bulk2", "nobody", "bulk/00042")); !slices.Equal(got, []string{"bulk/00042", "bulk2"}) {
		t.Errorf("by name: %q", got)
	}
	if got := collect(WithIDs(want...)); !slices.Equal(got, want) {
		t.Errorf("by name: %d locks, want %d in order", len(got), len(want))
	}
	if got := collect(WithIDs(), HeldOnly()); len(got) > 0 {
		t.Errorf("without a name: %q", got)
	}
	if got := collect(WithPrefix("bulk/")); !slices.Equal(got, want) {
		t.Errorf("prefix: %d locks, want %d in order", len(got), len(want))
	}
	if got := collect(HeldOnly()); !slices.Equal(got, []string{"bulk/00042", "bulk2"}) {
		t.Errorf("held: %v", got)
	}
	if got := collect(HeldOnly(), WithPrefix("bulk/")); !slices.Equal(got, []string{"bulk/00042"}) {
		t.Errorf("held with prefix: %v", got)
	}
	if _, err := s.collection().InsertOne(t.Context(), bson.D{{Key: "_id", Value: "zzz"}, {Key: "v", Value: schemaVersion}, {Key: "state", Value: 3}}); err != nil {
		t.Fatal(err)
	}
	foreign := 0
	for state, err := range c.List(t.Context()) {
		if errors.Is(err, ErrForeignDocument) && state.ID == "zzz" {
			foreign++
		} else if err != nil {
			t.Fatal(err)
		}
	}
	if foreign != 1 {
		t.Errorf("%d foreign documents listed, want 1", foreign)
	}
	mustUnlock(t, other)
	mustUnlock(t, held)
}

// The feed on the real server: baseline, transitions, an outage, an expiry; every event once and in order.
func TestWatch(t *testing.T) {
	s := newTestServer(t)
	c := s.client(t)
	mustUnlock(t, mustLock(t, c, "a"))
	watching := s.client(t)
	w, err := watching.Watch(t.Context(), "a", "b")
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	if first := await(t, 3*time.Second, "the baseline", w.Changes()); first.State.ID != "a" || len(first.Events) != 0 || first.State.Seq != 2 {
		t.Errorf("baseline %+v", first)
	}
	eventually(t, time.Second, "the watcher is synced", w.Synced)
	mustUnlock(t, mustLock(t, c, "not watched"))

	seq := map[string]int64{"a": 2, "b": 0}
	types := map[string][]EventType{}
	collect := func(lock string, until EventType) {
		t.Helper()
		for {
			change := await(t, 5*time.Second, string(until)+" of "+lock, w.Changes())
			if change.Missed != 0 || seq[change.State.ID] == 0 && change.State.ID != "b" {
				t.Fatalf("unexpected %+v", change)
			}
			for _, e := range change.Events {
				if e.Seq != seq[change.State.ID]+1 {
					t.Fatalf("event %d of %q after %d", e.Seq, change.State.ID, seq[change.State.ID])
				}
				seq[change.State.ID] = e.Seq
				types[change.State.ID] = append(types[change.State.ID], e.Type)
			}
			if n := len(change.Events); n > 0 && change.State.ID == lock && change.Events[n-1].Type == until {
				return
			}
		}
	}
	lease := mustLock(t, c, "a")
	collect("a", EventAcquired)
	// While the store cannot be reached, Err says so; afterwards what happened meanwhile arrives.
	s.proxy.Refuse()
	eventually(t, 15*time.Second, "Err tells of the outage", func() bool { return errors.Is(w.Err(), ErrUnreachable) })
	direct, err := New(t.Context(), s.driver.Database(s.database))
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := direct.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}()
	expired := mustLock(t, direct, "b", WithAutoRenew(false))
	s.endLease(t, "b", expired.AcquiredAt())
	s.proxy.Heal()
	mustUnlock(t, lease)
	collect("b", EventExpired)
	if len(types["a"]) < 2 {
		collect("a", EventReleased)
	}
	eventually(t, 2*time.Second, "Err is over", func() bool { return w.Err() == nil })
	if got := types["a"]; !slices.Equal(got, []EventType{EventAcquired, EventReleased}) {
		t.Errorf("events of a: %v", got)
	}
	if got := types["b"]; !slices.Equal(got, []EventType{EventAcquired, EventExpired}) {
		t.Errorf("events of b: %v", got)
	}
}

// The server restarts, and later cannot be reached while much happens: each event before, between and after is told once and in order, what
// a lock no longer keeps is counted, and who does not read holds up nobody.
func TestWatchOverARestart(t *testing.T) {
	s := newTestServer(t)
	watching := s.client(t)
	slow, w := mustWatch(t, watching), mustWatch(t, watching)
	eventually(t, 5*time.Second, "the watcher is synced", w.Synced)
	direct, err := New(t.Context(), s.driver.Database(s.database))
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := direct.Close(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	}()
	cycle := func(lock string, times int) {
		t.Helper()
		for range times {
			mustUnlock(t, mustLock(t, direct, lock))
		}
	}
	seq, missed := map[string]int64{}, map[string]int64{}
	collect := func(w *Watcher, lock string, until int64) {
		t.Helper()
		for seq[lock] < until {
			change := await(t, 15*time.Second, fmt.Sprintf("event %d of %s", until, lock), w.Changes())
			id := change.State.ID
			missed[id] += change.Missed
			seq[id] += change.Missed
			for _, e := range change.Events {
				if seq[id]++; e.Seq != seq[id] {
					t.Fatalf("event %d of %s, want %d", e.Seq, id, seq[id])
				}
			}
		}
	}
	cycle("a", 3)
	collect(w, "a", 6)
	if err := servertest.Restart(t.Context(), servertest.MongoDB); err != nil {
		t.Logf("the connections are cut instead: %v", err)
		s.proxy.Refuse()
		eventually(t, 15*time.Second, "Err tells of the outage", func() bool { return w.Err() != nil })
		s.proxy.Heal()
	}
	cycle("a", 3)
	collect(w, "a", 12)
	s.proxy.Refuse()
	eventually(t, 15*time.Second, "Err tells of the outage", func() bool { return w.Err() != nil })
	cycle("a", 1)
	cycle("gap", 10)
	s.proxy.Heal()
	collect(w, "gap", 20)
	collect(w, "a", 14)
	cycle("gap", 1)
	collect(w, "gap", 22)
	if missed["gap"] != 20-ringSize || missed["a"] != 0 {
		t.Errorf("missed %v, want %d of gap", missed, 20-ringSize)
	}
	eventually(t, 2*time.Second, "Err is over", func() bool { return w.Err() == nil })
	clear(seq)
	collect(slow, "gap", 22)
	collect(slow, "a", 14)
}

// Expiry is a transition: it is seen within two seconds although nobody contends for the lock.
func TestExpiryIsSeenInTime(t *testing.T) {
	s := newTestServer(t)
	c := s.client(t)
	w, err := c.Watch(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	lease := mustLock(t, c, "x", WithLease(500*time.Millisecond), WithAutoRenew(false))
	for {
		change := await(t, 5*time.Second, "the expiry", w.Changes())
		if n := len(change.Events); n == 0 || change.Events[n-1].Type != EventExpired {
			continue
		}
		end := lease.AcquiredAt().Add(500 * time.Millisecond)
		if at := change.Events[len(change.Events)-1].At; !at.Equal(end) {
			t.Errorf("expired at %s, want the end of the lease at %s", at, end)
		}
		if seen := change.State.ReadAt.Sub(end); seen > 2*time.Second {
			t.Errorf("expiry was seen %s after it happened", seen)
		}
		return
	}
}
