/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package mongolock

import (
	"context"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// A send of a waiter that was given up arrives late, after another one was answered "not yet" and the lock was handed over: it confirms,
// and nobody is told. The waiter must not count its lease from when it finds out.
func TestLateConfirmation(t *testing.T) {
	for _, blind := range []time.Duration{0, 100 * time.Millisecond, 500 * time.Millisecond, 900 * time.Millisecond} {
		synctest.Test(t, func(t *testing.T) {
			s := newFakeStore()
			held := mustLock(t, fakeClient(t, s), "x")
			late := make(chan struct{})
			var arrived time.Time
			s.intercept(func(ctx context.Context, call fakeCall, apply func()) error {
				switch {
				case call.op == "queue" && call.number == 2:
					go func() { <-late; apply() }()
					<-ctx.Done()
					return classify(call.op, ctx.Err())
				case call.op == "glance" && !arrived.IsZero() && time.Since(arrived) < blind:
					return errBroken(call.op)
				}
				apply()
				return nil
			})
			w := startWaiting(t, fakeClient(t, s), "x", WithLease(time.Second))
			for len(s.sent("queue")) < 3 { // the third is answered
				time.Sleep(10 * time.Millisecond)
			}
			time.Sleep(time.Millisecond)
			arrived = time.Now()
			mustUnlock(t, held)
			close(late)
			lease := await(t, time.Minute, "the lock is granted", w.result)
			for range 300 { // over some renewals
				if end := s.stored("x").State.Holders[0].ExpiresAt; lease.Err() == nil && end.Before(lease.Deadline()) {
					t.Fatalf("blind for %s: the holder believes in its lease until %s after the server's end", blind, lease.Deadline().Sub(end))
				}
				time.Sleep(5 * time.Millisecond)
			}
			mustUnlock(t, lease)
		})
	}
}

// The reply to a command that the driver repeated may be a record without what the projection computes. It is recognised by that.
func TestReplyWithoutProjection(t *testing.T) {
	raw, err := bson.Marshal(bson.D{
		{Key: "_id", Value: "x"}, {Key: "v", Value: schemaVersion}, {Key: "policy", Value: Policy{}.stored()},
		{Key: "state", Value: bson.D{{Key: "holders", Value: bson.A{}}, {Key: "waiters", Value: bson.A{}}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if doc, ok := decode(raw); !ok || doc.foreign != nil || !doc.Now.IsZero() {
		t.Errorf("it is read as %+v, %t", doc, ok)
	}
	s := newTestServer(t)
	c := s.client(t)
	held := mustLock(t, c, "x")
	for place := range 3 {
		a := newAcquisition("x", c.settings.lock)
		if _, err := c.store.queue(t.Context(), a); err != nil {
			t.Fatal(err)
		}
		doc, err := c.store.(*mongoStore).readAgain(t.Context(), "x")
		if err != nil || doc.Now.IsZero() || doc.Queued != place+1 || len(doc.State.Waiters) != place+1 || len(doc.State.Holders) != 1 {
			t.Errorf("read again: %+v, %v", doc, err)
		}
	}
	mustUnlock(t, held)
}

// A template must have its marks: without, all grants would have one id.
func TestTemplateNeedsItsMarks(t *testing.T) {
	plain := &templates{byKey: map[string]*template{}}
	a := acquisition{lock: "x", holderID: newHolderID(), owner: "me", mode: modeExclusive, leaseMS: 1000}
	if got, want := string(extJSON(t, bson.D{{Key: "p", Value: plain.acquire(a)}})), string(extJSON(t, bson.D{{Key: "p", Value: acquirePipeline(a)}})); got != want {
		t.Errorf("acquire by template: %s, want %s", got, want)
	}
	g := grant{grantRef: a.ref(), owner: "me", token: 1795430435218}
	if got, want := string(extJSON(t, bson.D{{Key: "p", Value: plain.release(g)}})), string(extJSON(t, bson.D{{Key: "p", Value: releasePipeline(g)}})); got != want {
		t.Errorf("release by template: %s, want %s", got, want)
	}
	defer func() {
		if recover() == nil {
			t.Error("a pipeline without an id became a template")
		}
	}()
	newTemplate(bson.D{{Key: "$set", Value: 1}}, 0)
}

// Asking again and again for a lock that is suspended is no busy loop.
func TestAskingForASuspendedLock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFakeStore()
		c := fakeClient(t, s)
		if err := c.SetPolicy(t.Context(), "x", Policy{Suspended: true}); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		_, _ = c.Lock(ctx, "x", WithoutQueue())
		if n := len(s.sent("acquire")); n < 12 || n > 40 {
			t.Errorf("asked %d times in a minute with a retry period of %s", n, DefaultRetryPeriod)
		}
	})
}

// A lease whose end somebody has edited to be farther away than a Duration can be is not over, and asking for its lock is no busy loop.
func TestWaitingForALeaseWithoutEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFakeStore()
		mustLock(t, fakeClient(t, s), "x")
		held := s.stored("x")
		held.State.Holders[0].ExpiresAt = never
		s.put(held)
		c, second, third := fakeClient(t, s), fakeClient(t, s), fakeClient(t, s)
		if _, err := c.TryLock(t.Context(), "x"); !strings.Contains(err.Error(), "876000h0m0s") {
			t.Errorf("%v, want it held for a hundred years", err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		var waiting sync.WaitGroup
		waiting.Go(func() { _, _ = c.Lock(ctx, "x") })
		time.Sleep(time.Second)
		waiting.Go(func() { _, _ = second.Lock(ctx, "x") })
		waiting.Go(func() { _, _ = third.Lock(ctx, "x", WithoutQueue()) })
		waiting.Wait()
		if asks, tries := len(s.sent("queue")), len(s.sent("acquire")); asks > 80 || tries > 40 {
			t.Errorf("in a minute two waiters asked %d times, one beside the queue %d times", asks, tries)
		}
	})
}

// A waiter whose first try fails has no place in the queue yet: it goes on as soon as the server answers, however long its retry period.
func TestFailedFirstTryIsSoonRepeated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFakeStore()
		mustLock(t, fakeClient(t, s), "held")
		c := fakeClient(t, s)
		const outage = 10 * time.Second
		start := time.Now()
		s.intercept(func(ctx context.Context, call fakeCall, apply func()) error {
			if time.Since(start) < outage && (call.op == "acquire" || call.op == "queue") {
				return unreachable(ctx, call, apply)
			}
			apply()
			return nil
		})
		free := startWaiting(t, c, "free", WithRetryPeriod(time.Hour))
		startWaiting(t, c, "held", WithRetryPeriod(time.Hour))
		until(start, outage+3*maxWaitPause)
		if n := len(s.stored("held").State.Waiters); n != 1 {
			t.Errorf("%d in the queue %s after the outage, want 1", n, 3*maxWaitPause)
		}
		select {
		case lease := <-free.result:
			mustUnlock(t, lease)
		default:
			t.Errorf("a free lock was not granted within %s after the outage", 3*maxWaitPause)
		}
	})
}

// A confirmation that hangs is repeated before the time for confirming is over, whatever the lease.
func TestHangingConfirmationKeepsTheTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFakeStore()
		held := mustLock(t, fakeClient(t, s), "x")
		w := startWaiting(t, fakeClient(t, s), "x", WithLease(time.Hour))
		time.Sleep(time.Second)
		mustUnlock(t, held)
		s.intercept(once("queue", hang))
		lease := await(t, time.Minute, "the lock is granted", w.result)
		if doc := s.stored("x"); doc.State.Grants != 2 || doc.State.Fence != lease.Token() {
			t.Errorf("%d grants, want 2: the turn was lost", doc.State.Grants)
		}
		mustUnlock(t, lease)
	})
}

// With a doorbell that rings for others and not for this one, a waiter still looks in time to confirm.
func TestLooksAreOftenEnoughToConfirm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := fakeClient(t, newFakeStore())
		c.bell.hearing.Store(&listener{})
		w := &wait{ref: grantRef{lock: "x"}, since: c.now()}
		for _, w.place = range []int{0, 1, 7, 100, MaxWaiters} {
			c.lookout.plan(w)
			if worst := w.next - c.now() + lookTimeout + confirmTime/4; worst > confirmTime {
				t.Errorf("at place %d the next look and a confirmation end after %s", w.place, worst)
			}
		}
		c.bell.hearing.Store(nil)
	})
}
