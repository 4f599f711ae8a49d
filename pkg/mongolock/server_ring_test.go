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
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/mongolock/operator/hack/faultproxy"
)

// Only who waits or watches listens, and for not much longer. Close ends everything, also while the feed's store does not answer.
func TestListenersEnd(t *testing.T) {
	f := newTestFeed(t)
	holder := f.client(t)
	held := mustLock(t, holder, "x")
	for range 20 {
		mustUnlock(t, mustLock(t, holder, "y"))
	}
	awaitRing(t, f)
	if commands := f.bells.Commands(); commands["find"]+commands["getMore"] > 0 {
		t.Errorf("who only holds locks sent %v", commands)
	}
	c := f.client(t)
	watcher := mustWatch(t, c)
	w := waitInLine(t, c, "x", 1)
	awaitPush(t, c)
	w.cancel()
	if err := await(t, 5*time.Second, "Lock returns", w.failed); !errors.Is(err, context.Canceled) {
		t.Errorf("Lock: %v, want context.Canceled", err)
	}
	c.bell.mu.Lock()
	if c.bell.linger != nil || !c.bell.rings() {
		t.Error("the listener ends although somebody watches")
	}
	c.bell.mu.Unlock()
	watcher.Close()
	eventually(t, bellLinger+3*time.Second, "the listener ends", func() bool { return !c.bell.rings() })
	f.bells.Reset()
	_ = pause(t.Context(), bellAwait*3/2) // any request would have come by now
	if commands := f.bells.Commands(); commands["find"]+commands["getMore"] > 0 {
		t.Errorf("after the end the client sent %v", commands)
	}

	watcher = mustWatch(t, c)
	w = waitInLine(t, c, "x", 1)
	awaitPush(t, c)
	f.bells.Blackhole()
	start := time.Now()
	if err := c.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if took := time.Since(start); took > 4*time.Second {
		t.Errorf("Close took %s", took)
	}
	if err := await(t, time.Second, "Lock returns", w.failed); !errors.Is(err, ErrClosed) {
		t.Errorf("Lock: %v, want ErrClosed", err)
	}
	for range watcher.Changes() {
	}
	if c.bell.rings() {
		t.Error("the listener outlived the client")
	}
	f.bells.Heal()
	mustUnlock(t, held)
}

// awaitRing waits for a message in the feed.
func awaitRing(t *testing.T, f *testFeed) {
	t.Helper()
	eventually(t, 5*time.Second, "a ring", func() bool {
		n, err := f.coll.CountDocuments(t.Context(), bson.D{})
		return err == nil && n > 0
	})
}

// News that nobody waits for are sent together.
func TestRingsAreBatched(t *testing.T) {
	f := newTestFeed(t)
	c := f.client(t)
	start := time.Now()
	for i := range 100 {
		mustUnlock(t, mustLock(t, c, fmt.Sprint(i)))
	}
	took := time.Since(start)
	if err := c.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	inserts := f.bells.Commands()["insert"]
	if most := int(took/bellBatch) + 2; inserts == 0 || inserts > most {
		t.Errorf("200 changes in %s made %d messages, want at most %d", took, inserts, most)
	}
	locks := map[string]bool{}
	for _, m := range f.messages(t, bson.D{}) {
		for _, n := range m.News {
			locks[n.Lock] = true
		}
	}
	if len(locks) != 100 {
		t.Errorf("%d locks were told of, want 100", len(locks))
	}
}

func (f *testFeed) messages(t *testing.T, filter bson.D) (messages []message) {
	t.Helper()
	cursor, err := f.coll.Find(t.Context(), filter)
	if err != nil {
		t.Fatal(err)
	}
	if err := cursor.All(t.Context(), &messages); err != nil {
		t.Fatal(err)
	}
	return messages
}

// Operations neither wait for the doorbell nor fail with it.
func TestRingingHoldsUpNobody(t *testing.T) {
	f := newTestFeed(t)
	c := f.client(t)
	held := f.bells.Inject(faultproxy.Fault{Kind: faultproxy.HoldRequest, Command: "insert"})
	lease := mustLock(t, c, "x")
	await(t, 5*time.Second, "the ring is held", held.Fired())
	mustUnlock(t, lease)
	mustUnlock(t, mustLock(t, c, "x"))
	select {
	case <-held.Done():
		t.Error("the ring was over before the operations")
	default:
	}
	f.bells.Blackhole()
	for i := range 20 {
		mustUnlock(t, mustLock(t, c, fmt.Sprint(i)))
	}
	held.Release()
	f.bells.Heal()
	eventually(t, 20*time.Second, "what was not sent is made good", func() bool {
		n, err := f.coll.CountDocuments(t.Context(), bson.D{{Key: "news.lock", Value: "19"}})
		all, allErr := f.coll.CountDocuments(t.Context(), bson.D{{Key: "all", Value: true}})
		return err == nil && allErr == nil && n+all > 0
	})
}

// Who records an expiry tells the others.
func TestSweepRings(t *testing.T) {
	f := newTestFeed(t)
	c, other := f.client(t), f.client(t)
	w, theirs := mustWatch(t, c), mustWatch(t, other)
	awaitPush(t, c)
	awaitPush(t, other)
	lease := mustLock(t, c, "x", WithAutoRenew(false))
	f.endLease(t, "x", lease.AcquiredAt())
	for _, w := range []*Watcher{w, theirs} {
		for expired := false; !expired; {
			change := await(t, 5*time.Second, "the expiry is told", w.Changes())
			n := len(change.Events)
			expired = n > 0 && change.Events[n-1].Type == EventExpired
		}
	}
	eventually(t, 5*time.Second, "a ring for all", func() bool {
		n, err := f.coll.CountDocuments(t.Context(), bson.D{{Key: "all", Value: true}})
		return err == nil && n > 0
	})
}
