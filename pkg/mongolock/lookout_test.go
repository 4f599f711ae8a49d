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
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// The fake has no doorbell, so that waiters depend on their looks. All times are those of a bubble.

// The next waiter looks often at first, and the longer it waits, the rarer.
func TestLooksGetRarer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFakeStore()
		mustLock(t, fakeClient(t, s), "x")
		w := startWaiting(t, fakeClient(t, s), "x")
		start := time.Now()
		seen := 0
		for _, phase := range []struct {
			until    time.Duration
			min, max int
		}{
			{time.Second, 50, 110}, // every 10 ms
			{time.Minute, 200, 650},
			{10 * time.Minute, 9 * 60 * 3, 9*60*4 + 60}, // every 250 ms, and less: each refresh of the place is a look, too
		} {
			until(start, phase.until)
			n := len(s.sent("glance"))
			if n-seen < phase.min || n-seen > phase.max {
				t.Errorf("%d looks until %s, want %d to %d", n-seen, phase.until, phase.min, phase.max)
			}
			seen = n
		}
		if n := len(s.sent("queue")); n > 1+10*60/int(refreshPeriod/3/time.Second) {
			t.Errorf("%d refreshes of a place in ten minutes", n)
		}
		w.cancel()
		if err := await(t, time.Second, "Lock returns", w.failed); !errors.Is(err, context.Canceled) {
			t.Errorf("Lock: %v, want context.Canceled", err)
		}
	})
}

// Who is far from its turn looks seldom, and sees all the same when its turn comes.
func TestLastOfALongQueueLooksSeldom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFakeStore()
		holder := fakeClient(t, s)
		held := mustLock(t, holder, "x")
		const before = 200
		for range before {
			if _, err := holder.store.queue(t.Context(), newAcquisition("x", holder.settings.lock)); err != nil {
				t.Fatal(err)
			}
		}
		lengthen := func(d time.Duration) {
			doc := s.stored("x")
			for i := range doc.State.Waiters[:before] {
				doc.State.Waiters[i].ExpiresAt = time.Now().Add(d)
			}
			s.put(doc)
		}
		lengthen(time.Hour)
		w := startWaiting(t, fakeClient(t, s), "x")
		time.Sleep(time.Minute)
		if n := len(s.sent("glance")); n > int(time.Minute/maxFarLook)+1 {
			t.Errorf("%d looks in a minute of the 200th in the queue", n)
		}
		lengthen(0)
		mustUnlock(t, held)
		start := time.Now()
		mustUnlock(t, await(t, time.Minute, "the last is granted the lock", w.result))
		if took := time.Since(start); took > maxFarLook+minLook {
			t.Errorf("noticed after %s", took)
		}
	})
}

func TestNobodyWaitsNobodyLooks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFakeStore()
		c := fakeClient(t, s)
		held := mustLock(t, fakeClient(t, s), "x")
		looking := func() bool {
			synctest.Wait()
			stacks := make([]byte, 1<<20)
			return strings.Contains(string(stacks[:runtime.Stack(stacks, true)]), "(*lookout).run")
		}
		w := startWaiting(t, c, "x")
		time.Sleep(time.Second)
		if !looking() {
			t.Error("nobody looks though somebody waits: the test does not test")
		}
		mustUnlock(t, held)
		mustUnlock(t, await(t, time.Second, "the lock is granted", w.result))
		if looking() || c.lookout.running || len(c.lookout.waits) > 0 {
			t.Error("the lookout goes on though nobody waits")
		}
		before := len(s.sent(""))
		time.Sleep(time.Hour)
		if n := len(s.sent("")) - before; n > 0 {
			t.Errorf("%d commands in an hour in which nobody waited", n)
		}
	})
}

// Looking costs a waiter a fiftieth of its wait at most, and a quarter of a second.
func TestHandOverIsNoticedInTime(t *testing.T) {
	for _, after := range []time.Duration{
		3 * time.Millisecond, 80 * time.Millisecond, 700 * time.Millisecond, 1234 * time.Millisecond, 4321 * time.Millisecond,
		11 * time.Second, 34567 * time.Millisecond, 10 * time.Minute,
	} {
		synctest.Test(t, func(t *testing.T) {
			s := newFakeStore()
			held := mustLock(t, fakeClient(t, s), "x")
			w := startWaiting(t, fakeClient(t, s), "x")
			time.Sleep(after)
			mustUnlock(t, held)
			start := time.Now()
			lease := await(t, time.Minute, "the lock is granted", w.result)
			if took, most := time.Since(start), min(max(after/50, minLook), maxLook); took > most {
				t.Errorf("noticed %s after a wait of %s, want %s at most", took, after, most)
			}
			if doc := s.stored("x"); doc.State.Grants != 2 || doc.State.Holders[0].Pending {
				t.Errorf("after a wait of %s: %+v", after, doc.State)
			}
			mustUnlock(t, lease)
		})
	}
}

// The line of a client is first come first, and who gives up leaves no gap.
func TestLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLines()
		held, first := l.join("x")
		if !first {
			t.Fatal("the first has to wait")
		}
		another, first := l.join("another")
		if !first {
			t.Error("there is one line for two locks")
		}
		l.leave("another", another)
		var order []int
		var cancels []context.CancelFunc
		for i := range 20 {
			ctx, cancel := context.WithCancel(t.Context())
			cancels = append(cancels, cancel)
			go func() {
				turn, first := l.join("x")
				defer l.leave("x", turn)
				if first {
					t.Errorf("%d has not to wait", i)
				}
				select {
				case <-turn:
					order = append(order, i) // it has the turn, and so the slice
					time.Sleep(time.Second)
				case <-ctx.Done():
				}
			}()
			synctest.Wait() // it stands in the line
		}
		for i := 0; i < 20; i += 3 {
			cancels[i]()
		}
		synctest.Wait()
		l.leave("x", held)
		time.Sleep(time.Minute)
		synctest.Wait()
		if len(order) != 13 || !slices.IsSorted(order) {
			t.Errorf("turns of %v, want all that are no multiples of 3", order)
		}
		if len(l.turns) != 0 {
			t.Errorf("left: %v", l.turns)
		}
		for _, cancel := range cancels {
			cancel()
		}
	})
}

// However many goroutines of a process want a lock, the server has one waiter, and a few commands for each of them.
func TestManyGoroutinesFewCommands(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const goroutines = 1000
		s := newFakeStore()
		c := fakeClient(t, s)
		held := mustLock(t, fakeClient(t, s), "x")
		before := len(s.sent(""))
		got := 0
		for range goroutines {
			go func() {
				err := c.Do(t.Context(), "x", func(context.Context, *Lease) error {
					got++ // the lock guards it
					time.Sleep(time.Millisecond)
					return nil
				})
				if err != nil {
					t.Error(err)
				}
			}()
		}
		synctest.Wait()
		if n := len(s.stored("x").State.Waiters); n != 1 {
			t.Errorf("%d waiters in the queue for one process", n)
		}
		mustUnlock(t, held)
		time.Sleep(time.Minute)
		count := map[string]int{}
		for _, call := range s.sent("")[before:] {
			count[call.op]++
		}
		// Each takes a place, confirms, and releases; the looks are for the one that waited for another process.
		if got != goroutines || count["queue"] > 2*goroutines+10 || count["release"] > goroutines+1 || count["glance"] > 200 {
			t.Errorf("%d of %d had the lock, with the commands %s", got, goroutines, fmt.Sprint(count))
		}
		t.Logf("commands for %d: %v", goroutines, count)
	})
}
