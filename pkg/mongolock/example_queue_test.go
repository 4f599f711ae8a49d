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

	"github.com/mongolock/operator/pkg/mongolock"
)

// untilWaiting returns when so many wait for the lock. The examples need it to be told in order; programs do not.
func untilWaiting(ctx context.Context, client *mongolock.Client, id string, n int) {
	for {
		state, err := client.Get(ctx, id)
		if err != nil {
			log.Fatal(err)
		}
		if len(state.Waiters) == n {
			return
		}
	}
}

// Waiting processes are granted the lock in the order of their arrival, each as soon as the one before unlocks.
func ExampleClient_Lock_queue() {
	ctx := context.Background()
	clients, done := connectEach(ctx, "first", "second", "third")
	defer done()

	lease, err := clients[0].Lock(ctx, "reports/nightly")
	if err != nil {
		log.Fatal(err)
	}
	granted := make(chan *mongolock.Lease)
	for i, client := range clients[1:] {
		go func() {
			lease, err := client.Lock(ctx, "reports/nightly")
			if err != nil {
				log.Fatal(err)
			}
			granted <- lease
		}()
		untilWaiting(ctx, clients[0], "reports/nightly", i+1)
	}
	for range 2 {
		fmt.Println(lease.Owner(), lease.Unlock(ctx))
		lease = <-granted
	}
	fmt.Println(lease.Owner(), lease.Unlock(ctx))
	// Output:
	// first <nil>
	// second <nil>
	// third <nil>
}

// A semaphore: as many holders at once as the capacity that was set.
func ExampleShared_semaphore() {
	ctx := context.Background()
	client, done := connect(ctx)
	defer done()
	if err := client.SetPolicy(ctx, "licences", mongolock.Policy{Capacity: 2}); err != nil {
		log.Fatal(err)
	}

	for range 3 {
		_, err := client.TryLock(ctx, "licences", mongolock.Shared())
		fmt.Println("granted:", err == nil, "held:", errors.Is(err, mongolock.ErrHeld))
	}
	// Output:
	// granted: true held: false
	// granted: true held: false
	// granted: false held: true
}

// A read-write lock: any number of readers, or one writer. Readers lock with Shared, writers without.
func ExampleShared_readWriteLock() {
	ctx := context.Background()
	client, done := connect(ctx)
	defer done()
	if err := client.SetPolicy(ctx, "catalogue", mongolock.Policy{Capacity: mongolock.MaxCapacity}); err != nil {
		log.Fatal(err)
	}

	reader1, err1 := client.TryLock(ctx, "catalogue", mongolock.Shared())
	reader2, err2 := client.TryLock(ctx, "catalogue", mongolock.Shared())
	_, err := client.TryLock(ctx, "catalogue")
	fmt.Println("two readers:", err1, err2, "and a writer:", errors.Is(err, mongolock.ErrHeld))

	if err := errors.Join(reader1.Unlock(ctx), reader2.Unlock(ctx)); err != nil {
		log.Fatal(err)
	}
	_, err1 = client.TryLock(ctx, "catalogue")
	_, err = client.TryLock(ctx, "catalogue", mongolock.Shared())
	fmt.Println("a writer:", err1, "and a reader:", errors.Is(err, mongolock.ErrHeld))
	// Output:
	// two readers: <nil> <nil> and a writer: true
	// a writer: <nil> and a reader: true
}

// Who waits is not overtaken, except with WithoutQueue. Here a writer waits for a reader, and others want to read.
func ExampleWithoutQueue() {
	ctx := context.Background()
	clients, done := connectEach(ctx, "reader", "writer")
	defer done()
	reader, writer := clients[0], clients[1]
	if err := reader.SetPolicy(ctx, "catalogue", mongolock.Policy{Capacity: mongolock.MaxCapacity}); err != nil {
		log.Fatal(err)
	}
	if _, err := reader.TryLock(ctx, "catalogue", mongolock.Shared()); err != nil {
		log.Fatal(err)
	}
	waiting, giveUp := context.WithCancel(ctx)
	gone := make(chan error)
	go func() {
		_, err := writer.Lock(waiting, "catalogue")
		gone <- err
	}()
	untilWaiting(ctx, reader, "catalogue", 1)

	_, err := reader.TryLock(ctx, "catalogue", mongolock.Shared())
	fmt.Println("in its turn:", errors.Is(err, mongolock.ErrHeld))
	_, err = reader.TryLock(ctx, "catalogue", mongolock.Shared(), mongolock.WithoutQueue())
	fmt.Println("out of turn:", err)
	giveUp()
	fmt.Println("the writer:", errors.Is(<-gone, context.Canceled))
	// Output:
	// in its turn: true
	// out of turn: <nil>
	// the writer: true
}
