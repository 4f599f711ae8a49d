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
	"os"
	"time"

	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/mongolock/operator/hack/servers/servertest"
	"github.com/mongolock/operator/pkg/mongolock"
)

// The README's example.
func ExampleConnect() {
	writeReport := func(ctx context.Context, _ int64) error { return ctx.Err() }
	run := func(ctx context.Context) error {
		client, err := mongolock.Connect(ctx, os.Getenv("MONGODB_URI"))
		if err != nil {
			return err
		}
		defer func() { _ = client.Close(ctx) }()
		return client.Do(ctx, "reports/nightly", func(ctx context.Context, lease *mongolock.Lease) error {
			return writeReport(ctx, lease.Token()) // ctx ends when the lease is lost
		})
	}
	if err := run(context.Background()); err != nil {
		log.Fatal(err)
	}
}

// connect is what a program does once; its URI comes from its configuration. Each example has a database of its own.
func connect(ctx context.Context) (client *mongolock.Client, done func()) {
	driver, err := mongo.Connect(options.Client().ApplyURI(servertest.MongoDBURI()))
	if err != nil {
		log.Fatal(err)
	}
	database := driver.Database(fmt.Sprintf("mongolock_example_%d", time.Now().UnixNano()))
	client, err = mongolock.New(ctx, database, mongolock.WithOwner("example"))
	if err != nil {
		log.Fatal(err)
	}
	return client, func() {
		if err := errors.Join(client.Close(ctx), database.Drop(ctx), driver.Disconnect(ctx)); err != nil {
			log.Fatal(err)
		}
	}
}

// Only one process at a time gets past Lock.
func ExampleClient_Lock() {
	ctx := context.Background()
	client, done := connect(ctx)
	defer done()

	lease, err := client.Lock(ctx, "reports/nightly")
	if err != nil {
		log.Fatal(err)
	}
	work := lease.Context(ctx) // cancelled when the lease is lost
	fmt.Println("holding", lease.ID(), work.Err())
	fmt.Println(lease.Unlock(ctx))
	// Output:
	// holding reports/nightly <nil>
	// <nil>
}

// TryLock does not wait; its error tells who holds the lock.
func ExampleClient_TryLock() {
	ctx := context.Background()
	client, done := connect(ctx)
	defer done()

	lease, err := client.TryLock(ctx, "reports/weekly", mongolock.WithOwner("pod-a"))
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = lease.Unlock(ctx) }()

	_, err = client.TryLock(ctx, "reports/weekly", mongolock.WithOwner("pod-b"))
	var held *mongolock.HeldError
	if errors.As(err, &held) {
		fmt.Println("held by", held.Owner, errors.Is(err, mongolock.ErrHeld), held.Remaining > 14*time.Second)
	}
	// Output: held by pod-a true true
}

// Do locks, runs a function and unlocks.
func ExampleClient_Do() {
	ctx := context.Background()
	client, done := connect(ctx)
	defer done()

	err := client.Do(ctx, "migrations", func(_ context.Context, lease *mongolock.Lease) error {
		fmt.Println("migrating", lease.ID())
		return nil
	})
	fmt.Println(err)
	// Output:
	// migrating migrations
	// <nil>
}

// account is a resource that refuses stale holders: the one thing that a lease cannot do.
type account struct{ largest int64 }

func (a *account) deposit(token int64) error {
	if token < a.largest {
		return errors.New("stale holder")
	}
	a.largest = token
	return nil
}

// A holder that was paused beyond its lease is stopped by the resource, which compares fencing tokens.
func ExampleLease_Token() {
	ctx := context.Background()
	client, done := connect(ctx)
	defer done()
	var resource account

	paused, err := client.Lock(ctx, "account/7", mongolock.WithLease(time.Second), mongolock.WithAutoRenew(false))
	if err != nil {
		log.Fatal(err)
	}
	next, err := client.Lock(ctx, "account/7") // waits for the end of the first lease
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("next:", resource.deposit(next.Token()))
	fmt.Println("paused:", resource.deposit(paused.Token()))
	_ = next.Unlock(ctx)
	// Output:
	// next: <nil>
	// paused: stale holder
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
