/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package mongolock

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/mongolock/operator/hack/faultproxy"
)

// Lowering the capacity, or suspending the lock, takes nothing away and stops new grants.
func TestLessCapacityTakesNothingAway(t *testing.T) {
	s := newTestServer(t)
	c := s.client(t)
	mustSetPolicy(t, c, "x", Policy{Capacity: 3})
	leases := []*Lease{mustLock(t, c, "x", Shared()), mustLock(t, c, "x", Shared()), mustLock(t, s.client(t), "x", Shared())}
	for _, p := range []Policy{{Capacity: 1}, {Capacity: 4, Suspended: true}, {}} {
		mustSetPolicy(t, c, "x", p)
		for _, lease := range leases {
			if err := lease.Renew(t.Context()); err != nil {
				t.Errorf("renewal under the policy %+v: %v", p, err)
			}
		}
		checkRefused(t, "a fourth holder", c, "x", Shared())
	}
	for _, lease := range leases {
		checkRefused(t, "a second holder of a lock with one permit", c, "x", Shared())
		mustUnlock(t, lease)
	}
	mustUnlock(t, mustLock(t, c, "x", Shared()))
}

// Whom a new policy makes room for has the lock at once.
func TestPolicyGrantsToWaiters(t *testing.T) {
	s := newTestServer(t)
	c := s.client(t)
	first := mustLock(t, c, "x", Shared())
	reader := waitInLine(t, s.client(t), "x", 1, Shared())
	another := waitInLine(t, s.client(t), "x", 2, Shared())
	writer := waitInLine(t, s.client(t), "x", 3)
	mustSetPolicy(t, c, "x", Policy{Capacity: 2})
	second := await(t, atOnce, "the first reader is granted the lock", reader.result)
	checkWaits(t, "the second reader", another)
	mustSetPolicy(t, c, "x", Policy{Capacity: 9})
	third := await(t, atOnce, "the second reader is granted the lock", another.result)
	mustSetPolicy(t, c, "x", Policy{Capacity: 9, Suspended: true})
	for _, lease := range []*Lease{first, second, third} {
		mustUnlock(t, lease)
	}
	checkRefused(t, "TryLock without queueing of a suspended lock", c, "x", WithoutQueue())
	checkWaits(t, "a writer of a suspended lock", writer)
	mustSetPolicy(t, c, "x", Policy{})
	mustUnlock(t, await(t, atOnce, "the writer is granted the lock", writer.result))
}

// The longest lease binds whoever asks for more, however it is granted, and the holder knows.
func TestMaxLease(t *testing.T) {
	s := newTestServer(t)
	c := s.client(t)
	const most = 2 * time.Second
	mustSetPolicy(t, c, "x", Policy{MaxLease: most})
	check := func(how string, lease *Lease, sent time.Time) {
		t.Helper()
		docs, err := c.store.find(t.Context(), query{ids: []string{"x"}})
		if err != nil {
			t.Fatal(err)
		}
		if h := docs[0].State.Holders[0]; h.Lease != most.Milliseconds() || h.ExpiresAt.Sub(docs[0].Now) > most {
			t.Errorf("%s: stored %+v at %s", how, h, docs[0].Now)
		}
		if left := lease.Deadline().Sub(sent); left > most || left < most/2 {
			t.Errorf("%s: the deadline is %s after the grant, want a little less than %s", how, left, most)
		}
	}
	sent := time.Now()
	lease := mustLock(t, c, "x", WithLease(time.Hour), WithMargin(time.Minute), WithAutoRenew(false))
	check("TryLock", lease, sent)
	w := waitInLine(t, s.client(t), "x", 1, WithLease(time.Hour))
	mustUnlock(t, lease)
	lease = await(t, atOnce, "the waiter is granted the lock", w.result)
	check("hand-over", lease, time.Now())
	eventually(t, 2*most, "it is renewed by itself", func() bool { return s.stored(t, "x").State.Holders[0].Rev >= 3 })
	checkHeld(t, lease)
	check("renewal", lease, time.Now())
	mustUnlock(t, lease)
	lease = mustLock(t, c, "x", WithLease(time.Second))
	if h := s.stored(t, "x").State.Holders[0]; h.Lease != 1000 {
		t.Errorf("a shorter lease became %d ms", h.Lease)
	}
	mustUnlock(t, lease)
}

// However long the grace, who purges does purge, and others see that it is not their turn.
func TestPurgeWithALongGrace(t *testing.T) {
	s := newTestServer(t)
	c, other := s.client(t, WithGrace(maxGrace)), s.client(t)
	mustUnlock(t, mustLock(t, c, "unused"))
	s.setStored(t, "unused", "state.purgeAt", time.Now().Add(-maxGrace-time.Hour))
	if err := c.purgeOnce(t.Context(), c.settings.grace); err != nil {
		t.Errorf("the purge: %v", err)
	}
	if state := mustGet(t, c, "unused"); state.Exists {
		t.Error("an unused lock was not purged")
	}
	if err := other.purgeOnce(t.Context(), DefaultGrace); err != nil {
		t.Errorf("another client's turn: %v", err)
	}
}

// The purge takes locks that nobody uses, whatever time it is said to be, and no others.
func TestPurgeSparesWhatIsUsed(t *testing.T) {
	s := newTestServer(t)
	c := s.client(t)
	mustUnlock(t, mustLock(t, c, "unused"))
	held := mustLock(t, c, "held")
	other := mustLock(t, c, "waited-for")
	w := waitInLine(t, s.client(t), "waited-for", 1)
	s.setStored(t, "waited-for", "state.holders", bson.A{})
	for id, p := range map[string]Policy{
		"capacity": {Capacity: 2}, "suspended": {Suspended: true}, "lease": {MaxLease: time.Hour}, "retained": {Retain: true},
	} {
		mustSetPolicy(t, c, id, p)
		if at := s.stored(t, id).State.PurgeAt; !at.Equal(never) {
			t.Errorf("%s may be purged at %s", id, at)
		}
	}
	mustUnlock(t, mustLock(t, c, "retained"))
	mustUnlock(t, mustLock(t, c, "lease", Shared()))
	mustSetPolicy(t, c, "decided no more", Policy{Capacity: 5})
	mustSetPolicy(t, c, "decided no more", Policy{})
	if n, err := c.store.purge(t.Context(), time.Now().Add(-time.Hour)); n != 0 || err != nil {
		t.Errorf("purged %d locks that were used a moment ago, %v", n, err)
	}
	if n, err := c.store.purge(t.Context(), time.Now().Add(2*MaxLease)); n != 2 || err != nil {
		t.Errorf("purged %d locks, %v; want the two that nobody uses", n, err)
	}
	for id, want := range map[string]bool{
		"unused": false, "decided no more": false, "held": true, "waited-for": true, "capacity": true, "suspended": true, "lease": true, "retained": true,
	} {
		if state, err := c.Get(t.Context(), id); err != nil || state.Exists != want {
			t.Errorf("%s exists: %t, %v; want %t", id, state.Exists, err, want)
		}
	}
	mustUnlock(t, held)
	mustUnlock(t, await(t, 10*time.Second, "the waiter is granted the lock", w.result))
	if err := other.Unlock(t.Context()); !errors.Is(err, ErrNotHeld) {
		t.Errorf("Unlock of what was taken away: %v", err)
	}
}

func TestEvict(t *testing.T) {
	s := newTestServer(t)
	admin := s.client(t)
	victim := mustLock(t, s.client(t, WithOwner("victim")), "x", WithLease(2*time.Second))
	w := waitInLine(t, s.client(t), "x", 1)
	for what, err := range map[string]error{
		"another token":     admin.Evict(t.Context(), "x", victim.Token()+1, ""),
		"an older token":    admin.Evict(t.Context(), "x", victim.Token()-1, ""),
		"a lock never used": admin.Evict(t.Context(), "y", victim.Token(), ""),
	} {
		if !errors.Is(err, ErrNotHeld) {
			t.Errorf("%s: %v, want ErrNotHeld", what, err)
		}
	}
	for what, err := range map[string]error{
		"a long reason": admin.Evict(t.Context(), "x", victim.Token(), strings.Repeat("r", MaxReasonBytes+1)),
		"no UTF-8":      admin.Evict(t.Context(), "x", victim.Token(), "\xff"),
		"no token":      admin.Evict(t.Context(), "x", 0, ""),
		"no id":         admin.Evict(t.Context(), "", victim.Token(), ""),
	} {
		if !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v, want ErrInvalid", what, err)
		}
	}
	checkHeld(t, victim)
	reason := "$" + strings.Repeat("é", MaxReasonBytes/2-1) + "!"
	if err := admin.Evict(t.Context(), "x", victim.Token(), reason); err != nil {
		t.Fatal(err)
	}
	lease := await(t, atOnce, "the waiter is granted the lock", w.result)
	await(t, 2*time.Second, "the holder is told by its next renewal", victim.Done())
	checkLost(t, victim)
	if err := victim.Unlock(t.Context()); !errors.Is(err, ErrNotHeld) {
		t.Errorf("Unlock after an eviction: %v, want ErrNotHeld", err)
	}
	state, err := admin.Get(t.Context(), "x")
	if err != nil || len(state.Events) != 3 {
		t.Fatalf("%+v, %v", state, err)
	}
	if e := state.Events[1]; e.Type != EventEvicted || e.Owner != "victim" || e.Token != victim.Token() || e.Reason != reason {
		t.Errorf("the event is %+v", e)
	}
	if err := admin.Evict(t.Context(), "x", victim.Token(), ""); !errors.Is(err, ErrNotHeld) {
		t.Errorf("another eviction: %v, want ErrNotHeld", err)
	}
	checkHeld(t, lease)
	mustUnlock(t, lease)
}

// Of several that share a lock, the eviction takes the one that is meant.
func TestEvictOneOfSeveral(t *testing.T) {
	s := newTestServer(t)
	c := s.client(t)
	mustSetPolicy(t, c, "x", Policy{Capacity: 3})
	var leases []*Lease
	for range 3 {
		leases = append(leases, mustLock(t, c, "x", Shared()))
	}
	if err := c.Evict(t.Context(), "x", leases[1].Token(), "too many"); err != nil {
		t.Fatal(err)
	}
	for i, lease := range leases {
		if err := lease.Renew(t.Context()); i == 1 != errors.Is(err, ErrLeaseLost) || i != 1 && err != nil {
			t.Errorf("renewal of the holder %d: %v", i, err)
		}
	}
	mustUnlock(t, leases[0])
	mustUnlock(t, leases[2])
}

// When the reply to an eviction is lost, the repeated send finds nobody; its own event tells that the first one did it.
func TestEvictWithoutReply(t *testing.T) {
	s := newTestServer(t)
	victim := mustLock(t, s.client(t), "x", WithAutoRenew(false))
	w := waitInLine(t, s.client(t), "x", 1)
	admin := s.client(t)
	fault := s.proxy.Inject(faultproxy.Fault{Kind: faultproxy.DropReply, Command: "findAndModify", Match: func(command bson.Raw) bool {
		return strings.Contains(command.String(), string(EventEvicted))
	}})
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := admin.Evict(ctx, "x", victim.Token(), "gone"); err != nil {
		t.Errorf("Evict: %v", err)
	}
	if fault.Count() != 1 {
		t.Errorf("%d replies were dropped: the test does not test", fault.Count())
	}
	mustUnlock(t, await(t, confirmTime, "the waiter is granted the lock", w.result))
	evicted := 0
	for _, e := range s.stored(t, "x").State.Events {
		if e.Type == string(EventEvicted) {
			evicted++
		}
	}
	if evicted != 1 {
		t.Errorf("%d events of an eviction, want one", evicted)
	}
}

// More readers than the lock keeps events take over from an evicted writer, so that the event of the eviction is not kept.
func TestEvictInFavourOfMany(t *testing.T) {
	s := newTestServer(t)
	c := s.client(t)
	mustSetPolicy(t, c, "x", Policy{Capacity: 2 * ringSize})
	victim := mustLock(t, c, "x", WithAutoRenew(false))
	for range ringSize + 1 {
		a := newAcquisition("x", c.settings.lock)
		a.mode = modeShared
		if _, err := c.store.queue(t.Context(), a); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Evict(t.Context(), "x", victim.Token(), "make room"); err != nil {
		t.Errorf("Evict: %v", err)
	}
	if doc := s.stored(t, "x"); len(doc.State.Holders) != ringSize+1 {
		t.Errorf("%d holders, want all who waited", len(doc.State.Holders))
	}
}
