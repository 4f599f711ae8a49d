/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package mongolock

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr/funcr"
)

// lockMany acquires n locks at one moment.
func lockMany(t *testing.T, c *Client, n int, opts ...LockOption) []*Lease {
	t.Helper()
	leases := make([]*Lease, n)
	for i := range leases {
		leases[i] = mustLock(t, c, fmt.Sprintf("%04d", i), opts...)
	}
	return leases
}

func TestRenewalsAreBatched(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFakeStore()
		start := time.Now()
		leases := lockMany(t, fakeClient(t, s), 1200)
		until(start, time.Minute+time.Second)
		rounds := map[time.Duration][]int{}
		for _, call := range s.sent("renew") {
			rounds[call.at.Sub(start)] = append(rounds[call.at.Sub(start)], len(call.locks))
		}
		for at := defaultThird; at <= time.Minute; at += defaultThird {
			sizes := rounds[at]
			sum := 0
			for _, size := range sizes {
				sum += size
			}
			if len(sizes) != 3 || sum != len(leases) {
				t.Errorf("after %s commands of %v leases, want 500, 500 and 200", at, sizes)
			}
		}
		if len(rounds) != int(time.Minute/defaultThird) {
			t.Errorf("%d rounds in a minute, want one every %s", len(rounds), defaultThird)
		}
		for _, lease := range leases {
			checkHeld(t, lease)
		}
	})
}

// Leases that fall due at different moments soon share a command.
func TestRenewalsComeTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFakeStore()
		c := fakeClient(t, s)
		for i := range 10 {
			mustLock(t, c, fmt.Sprint(i))
			time.Sleep(DefaultLease / 200)
		}
		time.Sleep(time.Minute)
		before := len(s.sent("renew"))
		time.Sleep(time.Minute)
		if got, want := len(s.sent("renew"))-before, int(time.Minute/defaultThird); got > want+1 {
			t.Errorf("%d commands in a minute for 10 leases, want about %d", got, want)
		}
	})
}

// A hanging command, even one that cannot be stopped, takes only its own leases with it.
func TestHangingBatchDelaysNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFakeStore()
		start := time.Now()
		leases := lockMany(t, fakeClient(t, s), 1200)
		hanging := 0
		s.intercept(once("renew", func(_ context.Context, call fakeCall, _ func()) error {
			hanging = len(call.locks)
			time.Sleep(time.Until(start.Add(time.Minute)))
			return errBroken(call.op)
		}))
		until(start, defaultThird+defaultLifetime)
		lost := 0
		for _, lease := range leases {
			if lease.Err() != nil {
				lost++
				checkLost(t, lease)
			}
		}
		if lost != hanging || lost == 0 {
			t.Errorf("%d leases are lost, want the %d of the hanging command", lost, hanging)
		}
		until(start, time.Minute)
		for _, call := range s.sent("renew")[3:] {
			if len(call.locks) > renewBatch || (call.at.Sub(start))%defaultThird != 0 {
				t.Errorf("renewal of %d leases after %s", len(call.locks), call.at.Sub(start))
			}
		}
	})
}

// A lease that is gone does not take the others of its command with it: they are renewed by the next.
func TestLostLeaseInABatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFakeStore()
		start := time.Now()
		leases := lockMany(t, fakeClient(t, s), 20)
		s.remove(leases[7].ID())
		s.remove(leases[19].ID())
		until(start, 10*time.Minute)
		for i, lease := range leases {
			if i == 7 || i == 19 {
				checkLost(t, lease)
			} else {
				checkHeld(t, lease)
			}
		}
	})
}

func TestLeasesOfDifferentLengths(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFakeStore()
		c := fakeClient(t, s)
		start := time.Now()
		lengths := []time.Duration{MaxLease, time.Second, time.Minute, 2 * time.Second, DefaultLease, time.Hour, 1500 * time.Millisecond}
		var leases []*Lease
		for i, length := range lengths {
			leases = append(leases, mustLock(t, c, fmt.Sprint(i), WithLease(length)))
			time.Sleep(123 * time.Millisecond)
		}
		for range 100 {
			time.Sleep(33 * time.Second)
			for i, lease := range leases {
				checkHeld(t, lease)
				if left := time.Until(lease.Deadline()); left < lengths[i]/2 {
					t.Fatalf("lease of %s has only %s left after %s", lengths[i], left, time.Since(start))
				}
			}
		}
		for i, lease := range leases {
			least := int(time.Since(start) / (lengths[i] / 3))
			if got := int(s.stored(lease.ID()).State.Holders[0].Rev); got < least-1 || got > least*3/2+1 {
				t.Errorf("lease of %s was renewed %d times, want about %d", lengths[i], got, least)
			}
		}
	})
}

func TestRenewerForgetsReleasedLeases(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFakeStore()
		c := fakeClient(t, s)
		for range 100 {
			for _, lease := range lockMany(t, c, 10) {
				mustUnlock(t, lease)
			}
		}
		synctest.Wait()
		if n := len(c.renewer.queue); n != 0 || c.holdsAny() {
			t.Errorf("%d leases in line, client holds any: %t; want none", n, c.holdsAny())
		}
		time.Sleep(time.Hour)
		if n := len(s.sent("renew")); n != 0 {
			t.Errorf("%d renewals of released leases", n)
		}
	})
}

// Whoever gets the log lines may use the client in turn: no lock of the engine is held meanwhile.
func TestLogsWithoutHoldingLocks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFakeStore()
		var c *Client
		var mu sync.Mutex
		lines := map[string]bool{}
		log := funcr.New(func(_, line string) {
			mu.Lock()
			lines[line[:min(len(line), 40)]] = true
			mu.Unlock()
			for name, free := range map[string]bool{
				"client": tryMutex(&c.mu), "renewer": tryMutex(&c.renewer.mu), "feed": tryMutex(&c.feed.mu),
			} {
				if !free {
					t.Errorf("the mutex of the %s is held while a line is logged: %s", name, line)
				}
			}
		}, funcr.Options{})
		c = fakeClient(t, s, WithLogger(log))
		lease := mustLock(t, c, "x")
		if _, err := c.Watch(t.Context()); err != nil {
			t.Fatal(err)
		}
		s.intercept(breakReply)
		<-lease.Done()
		synctest.Wait()
		mu.Lock()
		defer mu.Unlock()
		if len(lines) < 3 {
			t.Errorf("logged only %v: want a failed renewal, the loss and the interrupted feed", lines)
		}
	})
}

// tryMutex tells whether the mutex gets free; it does not if the caller itself holds it.
func tryMutex(mu *sync.Mutex) bool {
	for range 10_000 {
		if mu.TryLock() {
			mu.Unlock()
			return true
		}
		runtime.Gosched()
	}
	return false
}
