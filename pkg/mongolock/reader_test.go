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
	"testing"
	"testing/synctest"
	"time"
)

// An expiry that nobody noticed is told within two seconds.
func TestExpiryIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFakeStore()
		c := fakeClient(t, s)
		for i := range 20 {
			lock := fmt.Sprint(i)
			watcher := mustWatch(t, c, lock)
			got := collect(watcher)
			time.Sleep(rand.N(time.Second))
			mustLock(t, c, lock, WithAutoRenew(false))
			time.Sleep(DefaultLease)
			got.after(2 * time.Second)
			if doc := s.stored(lock); len(doc.State.Events) != 2 {
				t.Errorf("stored %+v: the expiry was not recorded", doc)
			}
			watcher.Close()
			<-got.ended
		}
		w := collect(mustWatch(t, c))
		w.take()
		lease := mustLock(t, c, "all", WithAutoRenew(false))
		checkChanges(t, "acquire", w.after(time.Second), "all 1:acquired; ")
		time.Sleep(DefaultLease + time.Second)
		changes := w.take()
		checkChanges(t, "expiry", changes, "all 2:expired; ")
		if len(changes) == 1 && !changes[0].Events[0].At.Equal(lease.AcquiredAt().Add(DefaultLease)) {
			t.Errorf("expired at %s, want the end of the lease", changes[0].Events[0].At)
		}
	})
}

// The server's time must be known also when the last lock that changed has been purged, or old leases end unnoticed.
func TestExpiryIsToldAfterAPurge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFakeStore()
		holder, c := fakeClient(t, s, WithoutRelease()), fakeClient(t, s)
		mustLock(t, holder, "old")
		got := collect(mustWatch(t, c))
		time.Sleep(time.Minute)
		mustUnlock(t, mustLock(t, c, "purged"))
		time.Sleep(time.Minute)
		s.remove("purged")
		time.Sleep(resyncPeriod + 5*time.Second)
		got.take()
		if err := holder.Close(t.Context()); err != nil { // without release: as if it had died
			t.Fatal(err)
		}
		end := s.stored("old").State.Holders[0].ExpiresAt
		checkChanges(t, "expiry", got.after(time.Until(end)+2*time.Second), "old 2:expired; ")
	})
}

// That a waiter has died is told, once, although nothing happens to the lock; and nothing is told of one that lives.
func TestDeathOfAWaiterIsTold(t *testing.T) {
	for name, busy := range map[string]bool{"other locks change": true, "nothing changes": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newFakeStore()
				lags := newRecorder()
				holder, waiter, c := fakeClient(t, s), fakeClient(t, s), fakeClient(t, s, WithMetrics(lags))
				mustLock(t, holder, "x")
				watcher := mustWatch(t, c, "x", "y")
				got := collect(watcher)
				checkChanges(t, "baseline", got.take(), "x; ")
				time.Sleep(readPeriod / 5) // from here on everything happens between two looks
				waits := waitInLine(t, waiter, "x", 1)
				checkChanges(t, "a waiter", got.after(readPeriod), "x; ")
				doc := s.stored("x")
				doc.join(acquisition{lock: "x", holderID: "dead", mode: modeExclusive, leaseMS: 15_000}, doc.Now)
				s.put(doc)
				changes := got.after(readPeriod)
				checkChanges(t, "another, which dies", changes, "x; ")
				if len(changes) != 1 || len(changes[0].State.Waiters) != 2 {
					t.Fatalf("told %+v: the test does not test", changes)
				}
				if busy {
					time.Sleep(2 * overlap)
					mustUnlock(t, mustLock(t, holder, "y"))
				}
				alive := map[bool]string{true: "y 1:acquired 2:released; "}[busy]
				checkChanges(t, "until its place ends", got.after(waiterLease-2*overlap-2*readPeriod), alive)
				changes = got.after(resyncPeriod + 3*readPeriod + 2*overlap)
				checkChanges(t, "its death", changes, "x; ")
				if len(changes) != 1 || len(changes[0].State.Waiters) != 1 || changes[0].Missed != 0 {
					t.Errorf("told %+v", changes)
				}
				checkChanges(t, "afterwards", got.after(10*time.Minute), "")
				if n, want := len(lags.told["FeedLag"]), map[bool]int{true: 3, false: 2}[busy]; n != want {
					t.Errorf("the lag of %d changes was told, want %d: %q", n, want, lags.told["FeedLag"])
				}
				watcher.Close()
				waits.cancel()
				if err := <-waits.failed; !errors.Is(err, context.Canceled) {
					t.Errorf("Lock: %v, want context.Canceled", err)
				}
			})
		})
	}
}

// After a failover a read may show for a moment what was before the last one. Nothing is told of that, and no event twice. A document that
// is not what it was for long, as after a restore, is told by the next look at everything.
func TestReadsThatGoBack(t *testing.T) {
	for name, pushed := range map[string]bool{"looks": false, "doorbell": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newFakeStore()
				c := fakeClient(t, s)
				got := collect(mustWatch(t, c))
				got.after(readPeriod / 5)
				look := func() []Change {
					if pushed {
						c.bell.deliver(message{News: []news{{Lock: "x"}}})
						return got.after(2 * gatherTime)
					}
					return got.after(readPeriod)
				}
				if pushed {
					c.bell.hearing.Store(&listener{})
					c.bell.deliver(message{All: true})
					got.after(2 * gatherTime)
				}
				mustUnlock(t, mustLock(t, c, "x"))
				held := mustLock(t, c, "x")
				old := s.stored("x")
				time.Sleep(time.Millisecond)
				mustUnlock(t, held)
				present := s.stored("x")
				checkChanges(t, "before", look(), "x 1:acquired 2:released 3:acquired 4:released; ")
				s.put(old)
				checkChanges(t, "a read of the past", look(), "")
				s.put(present)
				checkChanges(t, "the present again", look(), "")
				mustUnlock(t, mustLock(t, c, "x"))
				checkChanges(t, "what happens next", look(), "x 5:acquired 6:released; ")
				s.put(old)
				checkChanges(t, "restored", got.after(resyncPeriod+readPeriod), "x 1:acquired 2:released 3:acquired 4:expired; ")
			})
		})
	}
}

// A document that was deleted, and made anew by a policy before the deletion was noticed, is no read of the past.
func TestMadeAnewByAPolicy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFakeStore()
		c := fakeClient(t, s)
		got := collect(mustWatch(t, c))
		mustUnlock(t, mustLock(t, c, "x"))
		got.after(readPeriod)
		time.Sleep(time.Second)
		s.remove("x")
		if err := c.SetPolicy(t.Context(), "x", Policy{Suspended: true}); err != nil {
			t.Fatal(err)
		}
		changes := got.after(2 * readPeriod)
		if len(changes) != 1 || !changes[0].State.Policy.Suspended || len(changes[0].Events) > 0 {
			t.Errorf("told %+v", changes)
		}
	})
}

// A document that was deleted and made anew is another one, whatever the number of its last event.
func TestRecreatedDocument(t *testing.T) {
	for name, tc := range map[string]struct {
		before, after int // grants and releases of the old and the new document
		want          string
	}{
		"fewer events": {before: 3, after: 1, want: "x 1:acquired 2:released 3:acquired; "},
		"as many":      {before: 1, after: 1, want: "x 1:acquired 2:released 3:acquired; "},
		"more events":  {before: 1, after: 2, want: "x 1:acquired 2:released 3:acquired 4:released 5:acquired; "},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newFakeStore()
				c := fakeClient(t, s)
				for range tc.before {
					mustUnlock(t, mustLock(t, c, "x"))
				}
				mustLock(t, fakeClient(t, s), "x", WithOwner("old"))
				got := collect(mustWatch(t, c))
				time.Sleep(3 * time.Second)
				checkChanges(t, "baseline", got.take(), "x; ")
				s.remove("x")
				for range tc.after {
					mustUnlock(t, mustLock(t, c, "x"))
				}
				mustLock(t, c, "x", WithOwner("new"))
				changes := got.after(time.Second)
				checkChanges(t, "recreated", changes, tc.want)
				if len(changes) > 0 && changes[0].State.Holders[0].Owner != "new" {
					t.Errorf("held by %+v", changes[0].State.Holders)
				}
			})
		})
	}
}

// The feed costs nothing while nobody watches.
func TestReaderStopsWithTheLastWatcher(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFakeStore()
		c := fakeClient(t, s)
		mustUnlock(t, mustLock(t, c, "x"))
		time.Sleep(time.Minute)
		if n := len(s.sent("find")); n != 0 {
			t.Errorf("%d reads without a watcher", n)
		}
		ctx, cancel := context.WithCancel(t.Context())
		first, err := c.Watch(ctx)
		if err != nil {
			t.Fatal(err)
		}
		second := mustWatch(t, c)
		one, two := collect(first), collect(second)
		time.Sleep(time.Minute)
		second.Close()
		second.Close()
		<-two.ended
		before := len(s.sent("find"))
		time.Sleep(time.Minute)
		if n := len(s.sent("find")) - before; n < int(time.Minute/readPeriod)-1 {
			t.Errorf("%d reads in a minute with a watcher left", n)
		}
		cancel()
		<-one.ended
		synctest.Wait()
		before = len(s.sent(""))
		time.Sleep(time.Hour)
		if n := len(s.sent("")) - before; n != 0 {
			t.Errorf("%d commands after the last watcher's end", n)
		}
		again := collect(mustWatch(t, c))
		checkChanges(t, "baseline of a new reader", again.take(), "x; ")
		mustUnlock(t, mustLock(t, c, "x"))
		checkChanges(t, "changes of a new reader", again.after(time.Second), "x 3:acquired 4:released; ")
	})
}

func TestWatcherDuringAnOutage(t *testing.T) {
	for name, failure := range map[string]hook{"no server": unreachable, "hanging": hang} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newFakeStore()
				c, other := fakeClient(t, s), fakeClient(t, s)
				mustUnlock(t, mustLock(t, other, "x"))
				w := mustWatch(t, c)
				got := collect(w)
				checkChanges(t, "baseline", got.take(), "x; ")
				s.intercept(func(ctx context.Context, call fakeCall, apply func()) error {
					if call.op == "find" || call.op == "sweep" {
						return failure(ctx, call, apply)
					}
					apply()
					return nil
				})
				late := mustWatch(t, c)
				behind := collect(late)
				mustUnlock(t, mustLock(t, other, "x"))
				checkChanges(t, "outage", got.after(10*time.Minute), "")
				if !errors.Is(w.Err(), ErrUnreachable) || late.Synced() {
					t.Errorf("in an outage: Err %v, want ErrUnreachable; new watcher synced %t", w.Err(), late.Synced())
				}
				s.intercept(nil)
				checkChanges(t, "recovery", got.after(maxAttempt+time.Second), "x 3:acquired 4:released; ")
				if w.Err() != nil {
					t.Errorf("Err after the recovery: %v", w.Err())
				}
				checkChanges(t, "the other's baseline", behind.take(), "x; ")
			})
		})
	}
}

// A failing sweep is trouble, too, and must not come and go in Err with each look.
func TestWatcherTellsOfAFailingSweep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFakeStore()
		c := fakeClient(t, s)
		mustLock(t, c, "x")
		s.intercept(on("sweep", func(context.Context, fakeCall, func()) error { return errUnauthorized("sweep") }))
		w := mustWatch(t, c)
		collect(w)
		time.Sleep(2 * time.Second)
		for range 20 {
			synctest.Wait()
			if err := w.Err(); !errors.Is(err, ErrUnauthorized) {
				t.Fatalf("Err is %v while no expiry can be recorded, want ErrUnauthorized", err)
			}
			time.Sleep(readPeriod / 2)
		}
	})
}

// Where the doorbell rings the reader looks at what it rang for, at all that changed seldom, and what nobody rang for is not overlooked.
func TestReaderWithADoorbell(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFakeStore()
		c := fakeClient(t, s)
		got := collect(mustWatch(t, c))
		mustUnlock(t, mustLock(t, c, "x"))
		time.Sleep(resyncPeriod)
		got.take()
		idle := func() int {
			before := len(s.sent("find"))
			time.Sleep(time.Minute)
			return len(s.sent("find")) - before
		}
		if n := idle(); n < int(time.Minute/readPeriod)-2 || n > int(time.Minute/readPeriod)+2 {
			t.Errorf("%d reads in a minute without a doorbell", n)
		}
		c.bell.hearing.Store(&listener{})
		c.bell.deliver(message{All: true})
		time.Sleep(time.Second)
		if n := idle(); n < int(time.Minute/pushedPeriod)-2 || n > int(time.Minute/pushedPeriod)+2 {
			t.Errorf("%d reads in a minute with a doorbell", n)
		}
		c.bell.deliver(message{All: true}) // the next look at all that changed is a whole period from now
		got.after(2 * gatherTime)
		mustUnlock(t, mustLock(t, c, "unheard"))
		for range 4 { // later changes that are heard of
			time.Sleep(time.Second)
			mustUnlock(t, mustLock(t, c, "x"))
			c.bell.deliver(message{News: []news{{Lock: "x"}}})
			if changes := got.after(2 * gatherTime); len(changes) != 1 || changes[0].State.ID != "x" || len(changes[0].Events) != 2 {
				t.Fatalf("changes %q, want those of x", summary(changes))
			}
		}
		checkChanges(t, "what nobody rang for", got.after(pushedPeriod-3*time.Second), "unheard 1:acquired 2:released; ")
		mustUnlock(t, mustLock(t, c, "x"))
		c.bell.hearing.Store(nil)
		c.bell.deliver(message{All: true})
		if changes := got.after(2 * gatherTime); len(changes) != 1 {
			t.Errorf("changes %q, want those of x, as push ended", summary(changes))
		}
		if n := idle(); n < int(time.Minute/readPeriod)-2 {
			t.Errorf("%d reads in a minute after the end of push", n)
		}
	})
}

// What the doorbell rang for is looked at once the server answers again, also if its stamp is older than what looks at changes go back to.
func TestNewsOutlastAFailedRead(t *testing.T) {
	for name, tc := range map[string]struct {
		watched []string
		others  int // news of other locks
	}{
		"all locks":              {nil, 1},
		"some locks":             {[]string{"x", "y"}, 1},
		"more than can be named": {nil, bellNews},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newFakeStore()
				c := fakeClient(t, s)
				c.bell.hearing.Store(&listener{})
				got := collect(mustWatch(t, c, tc.watched...))
				got.after(time.Second)
				mustUnlock(t, mustLock(t, c, "x"))
				old := s.stored("x")
				s.remove("x")
				time.Sleep(2 * overlap)
				mustUnlock(t, mustLock(t, c, "y"))
				got.after(pushedPeriod)
				s.put(old) // it shows late
				s.intercept(once("find", unreachable))
				m := message{News: []news{{Lock: "x"}}}
				for i := range tc.others {
					m.News = append(m.News, news{Lock: fmt.Sprint(i)})
				}
				c.bell.deliver(m)
				got.after(2 * gatherTime)
				failed := len(s.sent("find"))
				checkChanges(t, "after the failure", got.after(3*readPeriod), "x 1:acquired 2:released; ")
				for _, find := range s.sent("find")[failed:] {
					if len(find.locks) > bellNews {
						t.Errorf("read %d locks by their names", len(find.locks))
					}
				}
			})
		})
	}
}
