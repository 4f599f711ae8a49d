/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package mongolock

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
)

// fullBell is a doorbell whose messages nobody sends, so that a test can take them.
func fullBell(t *testing.T) *doorbell {
	t.Helper()
	b := newDoorbell(fakeClient(t, newFakeStore()), new(mongo.Collection))
	b.sending = true
	return b
}

func TestBacklog(t *testing.T) {
	b := fullBell(t)
	for range 50 {
		b.ring("x", nil)
	}
	if len(b.urgent) != 0 {
		t.Error("news that nobody waits for are urgent")
	}
	b.ring("y", []string{"1"})
	b.ring("y", []string{"2"})
	if len(b.urgent) != 1 {
		t.Error("news of a hand-over are not urgent")
	}
	m, ok := b.take()
	to := map[string]string{}
	for _, n := range m.News {
		to[n.Lock] = fmt.Sprint(n.To)
	}
	if !ok || m.All || len(m.News) != 2 || to["x"] != "[]" || to["y"] != "[1 2]" || len(b.urgent) != 0 {
		t.Errorf("took %+v, urgent %d", m, len(b.urgent))
	}
	b.ringAll()
	if m, ok := b.take(); !ok || !m.All || len(m.News) != 0 {
		t.Errorf("took %+v", m)
	}
	if m, ok := b.take(); ok || b.sending {
		t.Errorf("took %+v of an empty backlog, sending %t", m, b.sending)
	}
}

// However much happens while the store of the feed is down, the backlog stays small, and a message fits the feed.
func TestBacklogIsBounded(t *testing.T) {
	b := fullBell(t)
	to := slices.Repeat([]string{newHolderID()}, MaxWaiters)
	for i := range 10 * bellNews {
		b.ring(fmt.Sprintf("%0*d", MaxIDBytes, i), nil)
	}
	b.ring("last", to)
	m, _ := b.take()
	raw, err := bson.Marshal(m)
	if err != nil || !m.All || len(raw) > bellBytes*3/4 {
		t.Errorf("a message of %d bytes for all: %t, %v", len(raw), m.All, err)
	}
	b.ring("last", to)
	if m, _ := b.take(); m.All || len(m.News) != 1 || len(m.News[0].To) != MaxWaiters {
		t.Errorf("afterwards %d locks, for all: %t", len(m.News), m.All)
	}
}

// While one listener ends and the next has begun, that one is who hears.
func TestListenersOverlap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := fakeClient(t, newFakeStore()).bell
		first, second := &listener{bell: b}, &listener{bell: b}
		first.begin(false)
		second.begin(false)
		first.deafen()
		if !b.rings() {
			t.Error("the end of the first listener silenced the second")
		}
		second.deafen()
		second.deafen()
		if b.rings() {
			t.Error("nobody listens, and yet changes are heard of")
		}
	})
}

// A waiter that sat back because of push looks by itself as soon as push has ended, and is woken by a message while it has not.
func TestWaiterAndTheDoorbell(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFakeStore()
		holder, c := fakeClient(t, s), fakeClient(t, s)
		l := &listener{bell: c.bell}
		l.begin(false)
		wait := func() (held *Lease, result chan *Lease) {
			held, result = mustLock(t, holder, "x"), make(chan *Lease, 1)
			go func() {
				lease, err := c.Lock(t.Context(), "x")
				if err != nil {
					t.Error(err)
				}
				result <- lease
			}()
			time.Sleep(100 * time.Millisecond)
			return held, result
		}
		granted := func(result chan *Lease, most time.Duration) {
			t.Helper()
			start := time.Now()
			lease := <-result
			if took := time.Since(start); took > most {
				t.Errorf("granted after %s, want at most %s", took, most)
			}
			mustUnlock(t, lease)
		}
		held, result := wait()
		before := len(s.sent("glance"))
		mustUnlock(t, held)
		c.bell.deliver(message{News: []news{{Lock: "x", To: []string{s.stored("x").State.Holders[0].ID}}}})
		granted(result, 0)
		if n := len(s.sent("glance")) - before; n != 0 {
			t.Errorf("%d looks although a message told", n)
		}
		held, result = wait()
		mustUnlock(t, held)
		l.deafen()
		granted(result, maxLook)
		l.begin(false)
		held, result = wait()
		mustUnlock(t, held) // the message is lost
		granted(result, refreshPeriod)
	})
}

// Users come and go, at the same time and after Close: it is counted right, and nothing starts without a feed.
func TestListenersAreCounted(t *testing.T) {
	c := fakeClient(t, newFakeStore())
	var users sync.WaitGroup
	for range 8 {
		users.Go(func() {
			for range 1000 {
				c.bell.listen()
				c.bell.unlisten()
			}
		})
	}
	users.Wait()
	if err := c.Close(context.WithoutCancel(t.Context())); err != nil {
		t.Error(err)
	}
	c.bell.leave()
	if c.bell.users != 0 || c.bell.listener != nil || c.bell.linger != nil {
		t.Errorf("left: %d users, listener %v", c.bell.users, c.bell.listener)
	}
}

func TestBellPause(t *testing.T) {
	for failures, want := range map[int]time.Duration{1: minBellPause, 2: 2 * minBellPause, 7: maxBellPause, 1000: maxBellPause} {
		for range 100 {
			if got := bellPause(failures); got < want/2 || got > want*3/2 {
				t.Errorf("after %d failures %s, want about %s", failures, got, want)
			}
		}
	}
}
