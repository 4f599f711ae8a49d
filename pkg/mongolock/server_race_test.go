/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package mongolock

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// The first acquire of a lock that has no document is where upserts grant twice on DocumentDB-based servers: 2,000 rounds of 8.
func TestRacingFirstAcquiresHaveOneWinner(t *testing.T) {
	const rounds, racers = 2000, 8
	s := newTestServer(t)
	clients := make([]*Client, racers)
	for i := range clients {
		clients[i] = s.client(t, WithAutoRenew(false), WithOwner(fmt.Sprintf("racer-%d", i)))
	}
	for round := range rounds {
		lock := fmt.Sprintf("race/%d", round)
		leases := make([]*Lease, racers)
		start := make(chan struct{})
		var wg sync.WaitGroup
		for i, c := range clients {
			wg.Go(func() {
				<-start
				lease, err := c.TryLock(t.Context(), lock)
				if err != nil && !errors.Is(err, ErrHeld) {
					t.Errorf("round %d: %v", round, err)
				}
				leases[i] = lease
			})
		}
		close(start)
		wg.Wait()
		var winner *Lease
		for _, lease := range leases {
			if lease == nil {
				continue
			}
			if winner != nil {
				t.Fatalf("round %d has two winners: %s and %s", round, winner.Owner(), lease.Owner())
			}
			winner = lease
		}
		if winner == nil {
			t.Fatalf("round %d has no winner", round)
		}
		if doc := s.stored(t, lock); doc.State.Holders[0].Owner != winner.Owner() || doc.State.Fence != winner.Token() || doc.State.Grants != 1 {
			t.Fatalf("round %d: %s won with token %d, but the server has %+v", round, winner.Owner(), winner.Token(), doc)
		}
	}
}

// Tokens grow over release, expiry and deletion of the document, and stay the same over renewals.
func TestTokensNeverGoBack(t *testing.T) {
	s := newTestServer(t)
	clients := []*Client{s.client(t), s.client(t)}
	last := int64(0)
	deleted, expired := 0, 0
	for i := range 300 {
		c := clients[i%2]
		lease, err := c.Lock(t.Context(), "x", WithLease(time.Minute), WithAutoRenew(false))
		if err != nil {
			t.Fatal(err)
		}
		if lease.Token() <= last {
			t.Fatalf("grant %d has token %d after %d", i, lease.Token(), last)
		}
		last = lease.Token()
		switch rand.N(10) {
		case 0: // it expires
			expired++
			s.endLease(t, "x", lease.AcquiredAt())
			continue
		case 1: // its document is deleted, as by the TTL index or an administrator
			deleted++
			if _, err := s.collection().DeleteOne(t.Context(), bson.D{{Key: "_id", Value: "x"}}); err != nil {
				t.Fatal(err)
			}
			if err := lease.Renew(t.Context()); !errors.Is(err, ErrLeaseLost) {
				t.Fatalf("Renew without a document: %v, want ErrLeaseLost", err)
			}
			continue
		case 2:
			if err := lease.Renew(t.Context()); err == nil && s.stored(t, "x").State.Fence != last {
				t.Fatal("a renewal changed the token")
			}
		}
		if err := lease.Unlock(t.Context()); err != nil && !errors.Is(err, ErrNotHeld) {
			t.Fatal(err)
		}
	}
	if deleted == 0 || expired == 0 {
		t.Fatalf("%d deletions and %d expiries in 300 rounds: the test did not test", deleted, expired)
	}
}

// Whatever a client is told to renew or release, only its own grant can be hit, because the filter names the grant's random id.
func TestNobodyRenewsOrReleasesAnothersLock(t *testing.T) {
	s := newTestServer(t)
	old := s.client(t, WithOwner("same name"))
	first := mustLock(t, old, "x", WithLease(time.Minute), WithAutoRenew(false))
	s.endLease(t, "x", first.AcquiredAt())
	other := s.client(t, WithOwner("same name"))
	second, err := other.TryLock(t.Context(), "x", WithAutoRenew(false))
	if err != nil {
		t.Fatal(err)
	}
	before := s.raw(t, "x")
	if err := first.Renew(t.Context()); !errors.Is(err, ErrLeaseLost) {
		t.Errorf("Renew: %v, want ErrLeaseLost", err)
	}
	if err := first.Unlock(t.Context()); !errors.Is(err, ErrNotHeld) || !errors.Is(err, ErrLeaseLost) {
		t.Errorf("Unlock: %v, want ErrNotHeld because of ErrLeaseLost", err)
	}
	// The same again past the lease's own memory, straight to the store.
	if fates, err := old.store.renew(t.Context(), []grant{{grantRef: first.ref, token: first.token}}); err != nil || fates[0] != fateGone {
		t.Errorf("renewal of the old grant: %v, %v", fates, err)
	}
	for _, contended := range []bool{false, true} {
		g := grant{grantRef: first.ref, owner: first.owner, token: first.token, contended: contended}
		if gone, err := old.store.release(t.Context(), g); err != nil || gone.how == exitDone {
			t.Errorf("release of the old grant: %v, %v", gone, err)
		}
	}
	if after := s.raw(t, "x"); string(before) != string(after) {
		t.Errorf("the document of the second holder changed:\n%s\n%s", before, after)
	}
	mustUnlock(t, second)
}

// Two leases of one client exclude each other like those of two.
func TestOneClientExcludesItself(t *testing.T) {
	c := newTestServer(t).client(t)
	lease := mustLock(t, c, "x")
	if _, err := c.TryLock(t.Context(), "x"); !errors.Is(err, ErrHeld) {
		t.Errorf("second TryLock: %v, want ErrHeld", err)
	}
	mustUnlock(t, lease)
	mustUnlock(t, mustLock(t, c, "x"))
}

// A counter that only the lock protects loses no increment.
func TestLockProtectsACounter(t *testing.T) {
	const workers, rounds = 8, 25
	s := newTestServer(t)
	counter, holders := 0, 0
	var wg sync.WaitGroup
	for range workers {
		c := s.client(t, WithRetryPeriod(minRetryPeriod))
		wg.Go(func() {
			for range rounds {
				lease, err := c.Lock(t.Context(), "counter")
				if err != nil {
					t.Error(err)
					return
				}
				holders++
				if holders != 1 {
					t.Errorf("%d holders at once", holders)
				}
				counter++
				holders--
				if err := lease.Unlock(t.Context()); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if counter != workers*rounds {
		t.Errorf("counter is %d, want %d", counter, workers*rounds)
	}
}
