/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package mongolock_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"sync/atomic"
	"time"

	"github.com/mongolock/operator/pkg/mongolock"
)

// Get tells who holds a lock and who waits for it.
func ExampleClient_Get() {
	ctx := context.Background()
	clients, done := connectEach(ctx, "holder", "waiter")
	defer done()
	lease, err := clients[0].Lock(ctx, "reports/nightly", mongolock.WithMetadata(map[string]string{"node": "a"}))
	if err != nil {
		log.Fatal(err)
	}
	granted := make(chan *mongolock.Lease)
	go func() {
		lease, err := clients[1].Lock(ctx, "reports/nightly")
		if err != nil {
			log.Fatal(err)
		}
		granted <- lease
	}()
	untilWaiting(ctx, clients[0], "reports/nightly", 1)

	state, err := clients[0].Get(ctx, "reports/nightly")
	if err != nil {
		log.Fatal(err)
	}
	for _, h := range state.Holders {
		fmt.Println("held by", h.Owner, "on node", h.Metadata["node"], "for", h.Lease, h.Token == lease.Token())
	}
	for _, w := range state.Waiters {
		fmt.Println("waited for by", w.Owner, "for", w.Lease)
	}
	for _, e := range state.Events {
		fmt.Println("event", e.Seq, e.Type, e.Owner)
	}
	fmt.Println(lease.Unlock(ctx), (<-granted).Unlock(ctx))
	// Output:
	// held by holder on node a for 15s true
	// waited for by waiter for 15s
	// event 1 acquired holder
	// <nil> <nil>
}

// Get and List tell who holds what.
func ExampleClient_List() {
	ctx := context.Background()
	client, done := connect(ctx)
	defer done()
	lease, err := client.Lock(ctx, "list/one", mongolock.WithMetadata(map[string]string{"node": "a"}))
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = lease.Unlock(ctx) }()

	for state, err := range client.List(ctx, mongolock.WithPrefix("list/"), mongolock.HeldOnly()) {
		if err != nil {
			log.Fatal(err)
		}
		holder := state.Holders[0]
		fmt.Println(state.ID, "is held by", holder.Owner, "on node", holder.Metadata["node"])
	}
	state, err := client.Get(ctx, "list/never locked")
	fmt.Println(state.Exists, err)
	// Output:
	// list/one is held by example on node a
	// false <nil>
}

// Watch tells of every transition, in order.
func ExampleClient_Watch() {
	ctx := context.Background()
	client, done := connect(ctx)
	defer done()
	watcher, err := client.Watch(ctx, "watched")
	if err != nil {
		log.Fatal(err)
	}
	defer watcher.Close()

	lease, err := client.Lock(ctx, "watched")
	if err != nil {
		log.Fatal(err)
	}
	if err := lease.Unlock(ctx); err != nil {
		log.Fatal(err)
	}
	for change := range watcher.Changes() {
		if state := change.State; state.Seq == 2 {
			for _, event := range state.Events {
				fmt.Println(event.Seq, event.Type, event.Owner)
			}
			return
		}
	}
	// Output:
	// 1 acquired example
	// 2 released example
}

// Evict takes a lock away from a holder that hangs. The holder is told by its next renewal; until then only the token stops it.
func ExampleClient_Evict() {
	ctx := context.Background()
	client, done := connect(ctx)
	defer done()
	hanging, err := client.Lock(ctx, "reports/nightly", mongolock.WithLease(time.Second))
	if err != nil {
		log.Fatal(err)
	}

	state, err := client.Get(ctx, "reports/nightly")
	if err != nil {
		log.Fatal(err)
	}
	if err := client.Evict(ctx, state.ID, state.Holders[0].Token, "hangs since noon"); err != nil {
		log.Fatal(err)
	}
	next, err := client.TryLock(ctx, "reports/nightly")
	fmt.Println("next:", err, next.Token() > hanging.Token())

	<-hanging.Done()
	fmt.Println("evicted:", errors.Is(hanging.Err(), mongolock.ErrLeaseLost))
	state, _ = client.Get(ctx, "reports/nightly")
	fmt.Println(state.Events[1].Type, state.Events[1].Reason)
	// Output:
	// next: <nil> true
	// evicted: true
	// evicted hangs since noon
}

// A suspended lock is granted to nobody, for a maintenance say; who holds it keeps it, and who waits goes on waiting.
func ExampleClient_SetPolicy_suspend() {
	ctx := context.Background()
	client, done := connect(ctx)
	defer done()
	lease, err := client.Lock(ctx, "reports/nightly")
	if err != nil {
		log.Fatal(err)
	}

	if err := client.SetPolicy(ctx, "reports/nightly", mongolock.Policy{Suspended: true}); err != nil {
		log.Fatal(err)
	}
	fmt.Println(lease.Err(), lease.Unlock(ctx))
	_, err = client.TryLock(ctx, "reports/nightly")
	fmt.Println(err)

	if err := client.SetPolicy(ctx, "reports/nightly", mongolock.Policy{}); err != nil {
		log.Fatal(err)
	}
	_, err = client.TryLock(ctx, "reports/nightly")
	fmt.Println(err)
	// Output:
	// <nil> <nil>
	// mongolock: lock "reports/nightly" is suspended
	// <nil>
}

// contention counts what is of interest here; for Prometheus there is package prometheus below this one.
type contention struct{ granted, refused, lost atomic.Int64 }

func (c *contention) Acquired(_ string, outcome mongolock.Outcome, _ time.Duration) {
	switch outcome {
	case mongolock.OutcomeGranted:
		c.granted.Add(1)
	case mongolock.OutcomeRefused:
		c.refused.Add(1)
	}
}

func (c *contention) Held(_ string, _ time.Duration, lost bool) {
	if lost {
		c.lost.Add(1)
	}
}

func (c *contention) Waited(string, time.Duration)     {}
func (c *contention) Renewed(int, time.Duration, bool) {}
func (c *contention) Waiting(int)                      {}
func (c *contention) FeedLag(time.Duration)            {}

func ExampleWithMetrics() {
	ctx := context.Background()
	database, done := newDatabase(ctx)
	defer done()
	metrics := &contention{}
	client, err := mongolock.New(ctx, database, mongolock.WithMetrics(metrics))
	if err != nil {
		log.Fatal(err)
	}

	for range 3 {
		_, _ = client.TryLock(ctx, "reports/nightly")
	}
	_ = client.Close(ctx)
	fmt.Println("granted", metrics.granted.Load(), "refused", metrics.refused.Load(), "lost", metrics.lost.Load())
	// Output: granted 1 refused 2 lost 0
}
