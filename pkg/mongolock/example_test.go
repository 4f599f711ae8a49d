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
	"strconv"
	"time"

	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/mongolock/operator/hack/servers/servertest"
	"github.com/mongolock/operator/pkg/mongolock"
)

// The README's example.
func Example() {
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
	_ = func(ctx context.Context, client *mongolock.Client) error {
		if err := client.SetPolicy(ctx, "imports", mongolock.Policy{Capacity: 3}); err != nil {
			return err
		}
		lease, err := client.Lock(ctx, "imports", mongolock.Shared())
		if err != nil {
			return err
		}
		return lease.Unlock(ctx)
	}
}

// Options given to Connect are the defaults of all locks; those given to Lock and TryLock go before them.
func ExampleConnect() {
	ctx := context.Background()
	database, done := newDatabase(ctx)
	defer done()

	client, err := mongolock.Connect(ctx, servertest.MongoDBURI(),
		mongolock.WithDatabase(database.Name()), mongolock.WithLease(30*time.Second), mongolock.WithOwner("worker-1"))
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = client.Close(ctx) }() // releases what is held

	lease, err := client.Lock(ctx, "reports/nightly", mongolock.WithLease(time.Minute))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(lease.Owner(), "holds", lease.ID(), time.Until(lease.Deadline()) > 50*time.Second)
	// Output: worker-1 holds reports/nightly true
}

// New uses a driver client that the program has already, and does not disconnect it.
func ExampleNew() {
	ctx := context.Background()
	database, done := newDatabase(ctx)
	defer done()

	client, err := mongolock.New(ctx, database, mongolock.WithCollection("my_locks"))
	if err != nil {
		log.Fatal(err)
	}
	lease, err := client.Lock(ctx, "reports/nightly")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(client.Close(ctx))
	fmt.Println(lease.Err())
	// Output:
	// <nil>
	// mongolock: lease is not held: lock "reports/nightly": the client was closed
}

// A mutex: one process at a time. TryLock does not wait; its error tells who holds the lock.
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

// The context says how long to wait.
func ExampleClient_Lock_timeout() {
	ctx := context.Background()
	client, done := connect(ctx)
	defer done()
	lease, err := client.Lock(ctx, "reports/nightly")
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = lease.Unlock(ctx) }()

	patience, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	_, err = client.Lock(patience, "reports/nightly")
	fmt.Println(errors.Is(err, context.DeadlineExceeded), errors.Is(err, mongolock.ErrHeld))
	// Output: true true
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

// What is done under a lock has to end when the lease is lost; the context of the lease tells.
func ExampleLease_Context() {
	ctx := context.Background()
	client, done := connect(ctx)
	defer done()
	lease, err := client.Lock(ctx, "reports/nightly", mongolock.WithLease(time.Second), mongolock.WithAutoRenew(false))
	if err != nil {
		log.Fatal(err)
	}
	work := lease.Context(ctx)
	<-work.Done() // here after 900 ms, as nobody renews the lease; normally never
	fmt.Println(errors.Is(context.Cause(work), mongolock.ErrLeaseLost))
	// Output: true
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

// newDatabase gives each example a database of its own; a program has one for all.
func newDatabase(ctx context.Context) (database *mongo.Database, done func()) {
	driver, err := mongo.Connect(options.Client().ApplyURI(servertest.MongoDBURI()))
	if err != nil {
		log.Fatal(err)
	}
	database = driver.Database("mongolock_example_" + strconv.FormatInt(time.Now().UnixNano(), 36))
	return database, func() {
		if err := errors.Join(database.Drop(ctx), driver.Disconnect(ctx)); err != nil {
			log.Fatal(err)
		}
	}
}

// connect is what a program does once.
func connect(ctx context.Context) (client *mongolock.Client, done func()) {
	clients, done := connectEach(ctx, "example")
	return clients[0], done
}

// connectEach makes clients of one database as different processes have them.
func connectEach(ctx context.Context, owners ...string) (clients []*mongolock.Client, done func()) {
	database, drop := newDatabase(ctx)
	for _, owner := range owners {
		client, err := mongolock.New(ctx, database, mongolock.WithOwner(owner))
		if err != nil {
			log.Fatal(err)
		}
		clients = append(clients, client)
	}
	return clients, func() {
		for _, client := range clients {
			if err := client.Close(ctx); err != nil {
				log.Fatal(err)
			}
		}
		drop()
	}
}
