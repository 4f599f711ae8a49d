/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package mongolock

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// during is a hook for a span of time.
func during(from, to time.Duration, h hook) hook {
	start := time.Now()
	return func(ctx context.Context, call fakeCall, apply func()) error {
		if since := time.Since(start); since >= from && since < to {
			return h(ctx, call, apply)
		}
		apply()
		return nil
	}
}

// checkFree sees that nobody holds the lock or waits for it.
func checkFree(t *testing.T, s *fakeStore) {
	t.Helper()
	if doc := s.stored("x"); s.held("x") || len(doc.State.Waiters) > 0 {
		t.Errorf("left: %+v", doc.State)
	}
}

// An outage that the places in the queue outlast changes nothing for those who wait: neither their order nor what they get.
func TestOutageWhileWaiting(t *testing.T) {
	for name, tc := range map[string]struct {
		lasts time.Duration
		how   hook
	}{
		"no server":        {8500 * time.Millisecond, unreachable},
		"a silent server":  {6 * time.Second, hang},
		"replies get lost": {6 * time.Second, loseReply},
	} {
		t.Run(name, func(t *testing.T) {
			for i := range 40 {
				synctest.Test(t, func(t *testing.T) {
					s := newFakeStore()
					held := mustLock(t, fakeClient(t, s), "x", WithLease(time.Minute)) // it outlasts the outage in any case
					first := startWaiting(t, fakeClient(t, s), "x", WithOwner("first"))
					time.Sleep(time.Second)
					second := startWaiting(t, fakeClient(t, s), "x", WithOwner("second"))
					time.Sleep(time.Second + time.Duration(i)*200*time.Millisecond) // refreshed a while ago
					s.intercept(during(0, tc.lasts, tc.how))
					time.Sleep(tc.lasts + attemptTimeout(DefaultLease) + time.Second)
					if doc := s.stored("x"); len(doc.State.Waiters) != 2 || doc.State.Waiters[0].Owner != "first" {
						t.Errorf("waiters after the outage: %+v", doc.State.Waiters)
					}
					for _, w := range []*waiting{first, second} {
						mustUnlock(t, held)
						held = await(t, time.Second, "the next is granted the lock", w.result)
					}
					mustUnlock(t, held)
					if doc := s.stored("x"); doc.State.Grants != 3 {
						t.Errorf("%d grants to three", doc.State.Grants)
					}
					time.Sleep(10 * time.Second) // what was uncertain is looked after
					checkFree(t, s)
				})
			}
		})
	}
}

// The reply to the confirmation of a hand-over is lost, or that to the request for a place: the waiter gets the lock, and once.
func TestLostReplyWhileWaiting(t *testing.T) {
	for name, before := range map[string]time.Duration{"to the request for a place": 0, "to the confirmation": time.Second} {
		for how, lose := range map[string]hook{"silence": loseReply, "broken connection": breakReply} {
			t.Run(name+", "+how, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					s := newFakeStore()
					held := mustLock(t, fakeClient(t, s), "x")
					if before == 0 {
						s.intercept(once("queue", lose))
					}
					w := startWaiting(t, fakeClient(t, s), "x")
					time.Sleep(before)
					if before > 0 {
						s.intercept(once("queue", lose))
						mustUnlock(t, held)
					} else {
						time.AfterFunc(attemptTimeout(DefaultLease)+time.Second, func() { mustUnlock(t, held) })
					}
					lease := await(t, time.Minute, "the waiter is granted the lock", w.result)
					doc := s.stored("x")
					if doc.State.Grants != 2 || len(doc.State.Holders) != 1 || len(doc.State.Waiters) != 0 || doc.State.Holders[0].Token != lease.Token() {
						t.Errorf("granted token %d; stored is %+v", lease.Token(), doc.State)
					}
					if end := doc.State.Holders[0].ExpiresAt; end.Before(lease.Deadline()) {
						t.Errorf("the server's end %s is before the local one %s", end, lease.Deadline().UTC())
					}
					mustUnlock(t, lease)
					time.Sleep(10 * time.Second)
					checkFree(t, s)
				})
			})
		}
	}
}

// Wherever a waiter is when its context ends, it leaves neither a place nor a grant.
func TestCancelledWhereverItWaits(t *testing.T) {
	late := func() hook {
		return once("queue", func(ctx context.Context, call fakeCall, apply func()) error {
			time.AfterFunc(1500*time.Millisecond, apply)
			return hang(ctx, call, apply)
		})
	}
	for name, tc := range map[string]struct {
		first    hook // from the beginning
		then     hook // when it has its place
		handOver bool // then the holder releases
	}{
		"pausing in the queue":                    {},
		"asking for a place in vain":              {first: on("queue", hang)},
		"asking for a place that it has":          {first: on("queue", loseReply)},
		"asking for a place, which comes late":    {first: late()},
		"pausing without a server":                {first: on("queue", unreachable)},
		"first trying in vain":                    {first: on("acquire", hang)},
		"looking in vain":                         {first: on("glance", hang)},
		"refreshing its place in vain":            {then: on("queue", hang)},
		"confirming in vain":                      {then: on("queue", hang), handOver: true},
		"confirming, with the answer on its way":  {then: on("queue", loseReply), handOver: true},
		"confirming, which arrives late":          {then: late(), handOver: true},
		"not knowing yet that it has the lock":    {then: on("glance", hang), handOver: true},
		"pausing after a confirmation went wrong": {then: on("queue", breakReply), handOver: true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newFakeStore()
				held := mustLock(t, fakeClient(t, s), "x")
				s.intercept(tc.first)
				w := startWaiting(t, fakeClient(t, s), "x")
				if tc.then != nil {
					time.Sleep(100 * time.Millisecond)
					s.intercept(tc.then)
				}
				if tc.handOver {
					mustUnlock(t, held)
					time.Sleep(minLook / 2)
				} else {
					time.Sleep(6 * time.Second)
				}
				time.Sleep(minLook / 2)
				w.cancel()
				start := time.Now()
				select {
				case err := <-w.failed:
					if !errors.Is(err, context.Canceled) {
						t.Errorf("Lock: %v, want context.Canceled", err)
					}
				case lease := <-w.result: // it was faster
					mustUnlock(t, lease)
				}
				if took := time.Since(start); took > 0 {
					t.Errorf("Lock returned %s after its context had ended", took)
				}
				time.Sleep(100 * time.Millisecond)
				s.intercept(nil)
				time.Sleep(8 * time.Second)
				if !tc.handOver {
					if doc := s.stored("x"); doc.State.Grants != 1 || len(doc.State.Waiters) > 0 {
						t.Errorf("left: %+v", doc.State)
					}
					mustUnlock(t, held)
				}
				checkFree(t, s)
			})
		})
	}
}

// A waiter in its client's line that gives up was never at the server, and those behind it come all the same.
func TestCancelledInTheLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFakeStore()
		held := mustLock(t, fakeClient(t, s), "x")
		c := fakeClient(t, s)
		var waits []*waiting
		for range 3 {
			waits = append(waits, startWaiting(t, c, "x"))
			synctest.Wait()
		}
		waits[1].cancel()
		if err := await(t, time.Second, "Lock returns", waits[1].failed); !errors.Is(err, context.Canceled) || !errors.Is(err, ErrHeld) {
			t.Errorf("Lock: %v, want context.Canceled and ErrHeld", err)
		}
		waits[0].cancel()
		if err := await(t, time.Second, "Lock returns", waits[0].failed); !errors.Is(err, context.Canceled) {
			t.Errorf("Lock: %v, want context.Canceled", err)
		}
		time.Sleep(time.Second)
		if n := len(s.stored("x").State.Waiters); n != 1 {
			t.Errorf("%d waiters, want the last of the line", n)
		}
		mustUnlock(t, held)
		mustUnlock(t, await(t, time.Second, "the lock is granted", waits[2].result))
		checkFree(t, s)
	})
}

// The deadline of a grant that was handed over counts from before the confirmation was sent, however long that takes, and not from
// before the wait.
func TestDeadlineOfAHandOver(t *testing.T) {
	for name, how := range map[string]hook{
		"slow request": func(_ context.Context, _ fakeCall, apply func()) error { time.Sleep(time.Second); apply(); return nil },
		"slow reply":   func(_ context.Context, _ fakeCall, apply func()) error { apply(); time.Sleep(time.Second); return nil },
		"lost reply":   loseReply,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newFakeStore()
				held := mustLock(t, fakeClient(t, s), "x")
				w := startWaiting(t, fakeClient(t, s), "x", WithAutoRenew(false))
				time.Sleep(time.Minute)
				var sent time.Time
				s.intercept(once("queue", func(ctx context.Context, call fakeCall, apply func()) error {
					sent = call.at
					return how(ctx, call, apply)
				}))
				mustUnlock(t, held)
				lease := await(t, time.Minute, "the lock is granted", w.result)
				// The server's stamps are whole milliseconds, so it may say that up to one less is left.
				got := lease.Deadline().Sub(sent)
				if got > defaultLifetime || got <= defaultLifetime-time.Millisecond {
					t.Errorf("the deadline is %s after the confirmation was sent, want %s", got, defaultLifetime)
				}
				if end := s.stored("x").State.Holders[0].ExpiresAt; end.Before(lease.Deadline()) {
					t.Errorf("the server's end %s is before the local one %s", end, lease.Deadline().UTC())
				}
				checkDoneAt(t, lease, sent, got)
			})
		})
	}
}

// A look that hangs does not cost the turn: it is given up while there is time to confirm.
func TestHangingLookKeepsTheTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFakeStore()
		held := mustLock(t, fakeClient(t, s), "x")
		first := startWaiting(t, fakeClient(t, s), "x")
		synctest.Wait()
		s.intercept(once("glance", func(ctx context.Context, call fakeCall, apply func()) error {
			mustUnlock(t, held) //nolint:contextcheck // ctx is that of the look
			return hang(ctx, call, apply)
		}))
		time.Sleep(time.Minute)
		lease := await(t, time.Second, "the waiter has been granted the lock", first.result)
		if doc := s.stored("x"); doc.State.Grants != 2 || doc.State.Seq != 3 {
			t.Errorf("it took several grants: %+v", doc.State)
		}
		mustUnlock(t, lease)
	})
}
