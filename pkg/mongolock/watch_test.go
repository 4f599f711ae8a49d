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
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// collector takes a watcher's changes as fast as they come.
type collector struct {
	ended chan struct{}

	mu      sync.Mutex
	changes []Change
	times   []time.Time // when they came
}

func collect(w *Watcher) *collector {
	c := &collector{ended: make(chan struct{})}
	go func() {
		defer close(c.ended)
		for change := range w.Changes() {
			c.mu.Lock()
			c.changes = append(c.changes, change)
			c.times = append(c.times, time.Now())
			c.mu.Unlock()
		}
	}()
	return c
}

// take returns the changes since the last call.
func (c *collector) take() []Change {
	changes, _ := c.timed()
	return changes
}

// timed is take, with the times when the changes came.
func (c *collector) timed() ([]Change, []time.Time) {
	synctest.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	changes, times := c.changes, c.times
	c.changes, c.times = nil, nil
	return changes, times
}

// after waits, and then takes.
func (c *collector) after(d time.Duration) []Change {
	time.Sleep(d)
	return c.take()
}

func mustWatch(t *testing.T, c *Client, ids ...string) *Watcher {
	t.Helper()
	w, err := c.Watch(t.Context(), ids...)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// summary is short and comparable: lock, whether it exists, events, missed.
func summary(changes []Change) string {
	s := ""
	for _, c := range changes {
		s += c.State.ID
		if !c.State.Exists {
			s += " gone"
		}
		for _, e := range c.Events {
			s += fmt.Sprintf(" %d:%s", e.Seq, e.Type)
		}
		if c.Missed > 0 {
			s += fmt.Sprintf(" missed %d", c.Missed)
		}
		s += "; "
	}
	return s
}

func checkChanges(t *testing.T, when string, got []Change, want string) {
	t.Helper()
	if summary(got) != want {
		t.Errorf("%s: changes %q, want %q", when, summary(got), want)
	}
}

func TestWatcherTellsTransitions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFakeStore()
		c := fakeClient(t, s)
		a := mustLock(t, c, "a")
		mustUnlock(t, mustLock(t, c, "b"))
		s.put(document{ID: scratchPrefix + "1", V: schemaVersion, State: lockState{Seq: 1}})
		w := mustWatch(t, c)
		if w.Synced() {
			t.Error("synced before the first look")
		}
		got := collect(w)
		first := got.take()
		checkChanges(t, "baseline", first, "a; b; ")
		if !w.Synced() || len(first[0].State.Holders) != 1 || first[0].State.Token != a.Token() || first[1].State.Held() {
			t.Errorf("synced %t, baseline %+v", w.Synced(), first)
		}
		b := mustLock(t, c, "b")
		checkChanges(t, "acquire", got.after(time.Second), "b 3:acquired; ")
		mustUnlock(t, b)
		mustUnlock(t, mustLock(t, c, "b"))
		checkChanges(t, "three at once", got.after(time.Second), "b 4:released 5:acquired 6:released; ")
		mustUnlock(t, mustLock(t, c, "c"))
		checkChanges(t, "a new lock", got.after(time.Second), "c 1:acquired 2:released; ")
		checkChanges(t, "renewals", got.after(time.Hour), "")
		if h := s.stored("a").State.Holders; len(h) != 1 || h[0].Rev == 0 {
			t.Errorf("a is held by %+v: the test does not test", h)
		}
		s.remove("b")
		checkChanges(t, "deletion", got.after(31*time.Second), "b gone; ")
		mustUnlock(t, mustLock(t, c, "b"))
		checkChanges(t, "creation after deletion", got.after(time.Second), "b 1:acquired 2:released; ")
	})
}

// Among many transitions at random times each is told once, in order, none is missed and each in about a second.
func TestWatcherTellsEachEventOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFakeStore()
		c := fakeClient(t, s)
		got := collect(mustWatch(t, c))
		got.take()
		last := map[string]int64{}
		events := 0
		check := func() {
			changes, times := got.timed()
			for i, change := range changes {
				for _, e := range change.Events {
					if events++; e.Seq != last[change.State.ID]+1 {
						t.Fatalf("event %d of %s after event %d", e.Seq, change.State.ID, last[change.State.ID])
					}
					last[change.State.ID] = e.Seq
					if delay := times[i].Sub(e.At); delay > 2*time.Second || delay > time.Second && e.Type != EventExpired {
						t.Fatalf("%s was told %s later", e.Type, delay)
					}
				}
			}
		}
		for range 2000 {
			lock := fmt.Sprint(rand.N(20))
			lease, err := c.TryLock(t.Context(), lock, WithLease(MinLease), WithAutoRenew(rand.N(2) == 0))
			if err == nil && rand.N(4) > 0 {
				time.AfterFunc(rand.N(3*time.Second), func() { _ = lease.Unlock(t.Context()) })
			} else if err == nil && lease.autoRenew {
				mustUnlock(t, lease)
			}
			time.Sleep(rand.N(200 * time.Millisecond))
			check()
		}
		time.Sleep(5 * time.Second)
		check()
		stored := int64(0)
		for lock := range last {
			stored += s.stored(lock).State.Seq
		}
		if int64(events) != stored || events < 2000 {
			t.Errorf("%d events were told of %d that happened", events, stored)
		}
	})
}

func TestWatcherCountsWhatItMissed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFakeStore()
		c := fakeClient(t, s)
		mustUnlock(t, mustLock(t, c, "x"))
		got := collect(mustWatch(t, c))
		checkChanges(t, "baseline", got.take(), "x; ")
		for range 10 {
			mustUnlock(t, mustLock(t, c, "x")) // 20 events between two looks
		}
		changes := got.after(time.Second)
		if len(changes) != 1 || changes[0].Missed != 4 || len(changes[0].Events) != ringSize || changes[0].Events[0].Seq != 7 {
			t.Errorf("changes %q, want one with events 7 to 22 and 4 missed", summary(changes))
		}
	})
}

// A consumer that does not read holds up neither the feed nor other watchers, and gets what happened meanwhile in one change.
func TestSlowConsumer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFakeStore()
		c := fakeClient(t, s)
		slow, fast := mustWatch(t, c), mustWatch(t, c)
		got := collect(fast)
		got.take()
		transit := func(lock string, times int) {
			for range times {
				mustUnlock(t, mustLock(t, c, lock))
				time.Sleep(time.Second)
				synctest.Wait() // the look of this moment is over
			}
		}
		transit("x", 1) // will be on its way to the consumer
		transit("x", 3)
		transit("y", 1)
		transit("x", 2)
		if n := len(got.take()); n != 7 {
			t.Errorf("the fast watcher got %d changes, want 7", n)
		}
		late := collect(slow)
		checkChanges(t, "late", late.take(),
			"x 1:acquired 2:released; "+
				"x 3:acquired 4:released 5:acquired 6:released 7:acquired 8:released 9:acquired 10:released 11:acquired 12:released; "+
				"y 1:acquired 2:released; ")
		mustUnlock(t, mustLock(t, c, "x"))
		checkChanges(t, "caught up", late.after(time.Second), "x 13:acquired 14:released; ")
	})
}

func TestMerge(t *testing.T) {
	events := func(from, to int64) (events []Event) {
		for seq := from; seq <= to; seq++ {
			events = append(events, Event{Seq: seq, Type: EventAcquired})
		}
		return events
	}
	exists := State{ID: "x", Exists: true}
	cases := map[string]struct {
		older, newer Change
		from, to     int64
		missed       int64
	}{
		"all fit":       {Change{Events: events(1, 4)}, Change{State: exists, Events: events(5, 16)}, 1, 16, 0},
		"one too many":  {Change{Events: events(1, 4)}, Change{State: exists, Events: events(5, 17)}, 2, 17, 1},
		"gap before":    {Change{Events: events(3, 4), Missed: 2}, Change{State: exists, Events: events(5, 6)}, 3, 6, 2},
		"gap between":   {Change{Events: events(1, 4)}, Change{State: exists, Events: events(7, 8), Missed: 2}, 7, 8, 6},
		"both gaps":     {Change{Events: events(2, 4), Missed: 1}, Change{State: exists, Events: events(7, 22), Missed: 2}, 7, 22, 6},
		"baseline":      {Change{}, Change{State: exists, Events: events(3, 4)}, 3, 4, 0},
		"then deletion": {Change{Events: events(1, 2)}, Change{State: State{ID: "x"}}, 1, 2, 0},
	}
	for name, tc := range cases {
		got := merge(tc.older, tc.newer)
		want := Change{State: tc.newer.State, Events: events(tc.from, tc.to), Missed: tc.missed}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
}

func TestScopeOfAWatcher(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFakeStore()
		c := fakeClient(t, s)
		held := map[string]*Lease{}
		for _, lock := range []string{"a", "b", "c"} {
			held[lock] = mustLock(t, c, lock)
		}
		one := collect(mustWatch(t, c, "a", "absent"))
		checkChanges(t, "the first's baseline", one.take(), "a; ")
		if find := s.sent("find")[0]; len(find.locks) != 2 {
			t.Errorf("read %v for a watcher of two locks", find.locks)
		}
		two := collect(mustWatch(t, c, "a", "b"))
		checkChanges(t, "the second's own baseline", two.take(), "a; b; ")
		all := collect(mustWatch(t, c))
		checkChanges(t, "the third's own baseline", all.take(), "a; b; c; ")
		checkChanges(t, "nothing new for the first", one.after(resyncPeriod), "")
		for _, lock := range []string{"a", "b", "c"} {
			mustUnlock(t, held[lock])
		}
		mustUnlock(t, mustLock(t, c, "absent"))
		checkChanges(t, "a, absent", one.after(time.Second), "a 2:released; absent 1:acquired 2:released; ")
		checkChanges(t, "a, b", two.take(), "a 2:released; b 2:released; ")
		checkChanges(t, "all", all.take(), "a 2:released; absent 1:acquired 2:released; b 2:released; c 2:released; ")
		if _, err := c.Watch(t.Context(), "a", ""); !errors.Is(err, ErrInvalid) {
			t.Errorf("Watch: %v, want ErrInvalid", err)
		}
	})
}

// A watcher that comes while a look for others is under way waits for one that was made for it.
func TestWatcherComesDuringALook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFakeStore()
		c := fakeClient(t, s)
		for _, lock := range []string{"a", "b"} {
			mustLock(t, c, lock)
		}
		s.intercept(once("find", func(_ context.Context, _ fakeCall, apply func()) error {
			apply()
			time.Sleep(time.Second)
			return nil
		}))
		one := collect(mustWatch(t, c, "a"))
		synctest.Wait()
		all := collect(mustWatch(t, c))
		checkChanges(t, "the first", one.after(2*time.Second), "a; ")
		checkChanges(t, "the second", all.take(), "a; b; ")
	})
}

// Locks that leave the scope with their watcher are not told to have been deleted, and come back whole.
func TestScopeShrinksAndGrows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFakeStore()
		c := fakeClient(t, s)
		for _, lock := range []string{"a", "b"} {
			mustLock(t, c, lock)
		}
		all := mustWatch(t, c)
		one, every := collect(mustWatch(t, c, "a")), collect(all)
		one.take()
		every.take()
		all.Close()
		<-every.ended
		checkChanges(t, "after the other's end", one.after(2*resyncPeriod), "")
		every = collect(mustWatch(t, c))
		checkChanges(t, "baseline again", every.take(), "a; b; ")
		checkChanges(t, "nothing new", one.take(), "")
	})
}

// Watchers that end as soon as they begin leave the feed in order.
func TestWatchersThatEndAtOnce(t *testing.T) {
	c := fakeClient(t, newFakeStore())
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for range 1000 {
				w, err := c.Watch(ctx)
				if err != nil {
					t.Error(err)
					return
				}
				for range w.Changes() {
				}
			}
		})
	}
	wg.Wait()
}
