/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package mongolock

import (
	"fmt"
	"maps"
	"os"
	"time"

	"github.com/go-logr/logr"
)

// Defaults of the options.
const (
	// DefaultDatabase and DefaultCollection are where [Connect] keeps locks.
	DefaultDatabase   = "dlocks"
	DefaultCollection = "dlocks"
	// DefaultLease is the lease of a lock: how long it outlives a dead holder.
	DefaultLease = 15 * time.Second
	// DefaultRetryPeriod is the longest that [Client.Lock] waits between two tries.
	DefaultRetryPeriod = 5 * time.Second
	// DefaultGrace is how long a lock's document is kept after its last use where nobody said otherwise.
	DefaultGrace = time.Hour
)

// Option configures a [Client]. Every [LockOption] is one too: given to [New] or [Connect] it becomes the default of all locks.
type Option interface{ applyClient(*clientSettings) }

// LockOption configures one acquisition.
type LockOption interface {
	Option
	applyLock(*lockSettings)
}

// clientSettings are fixed for a client's life.
type clientSettings struct {
	database, collection string
	grace                time.Duration // 0: the default, or what the collection has
	minLease             time.Duration
	keepOnClose          bool
	deferCheck           bool
	feed                 feedSettings
	metrics              Metrics
	log                  logr.Logger
	lock                 lockSettings
}

// lockSettings belong to one acquisition.
type lockSettings struct {
	lease       time.Duration
	margin      time.Duration // 0: a tenth of the lease, at most one second
	autoRenew   bool
	retryPeriod time.Duration
	shared      bool
	barge       bool
	owner       string
	metadata    map[string]string
}

// feedSettings are where the doorbell is.
type feedSettings struct{ uri, database, collection string }

type clientOption func(*clientSettings)

func (o clientOption) applyClient(s *clientSettings) { o(s) }

type lockOption func(*lockSettings)

func (o lockOption) applyClient(s *clientSettings) { o(&s.lock) }
func (o lockOption) applyLock(s *lockSettings)     { o(s) }

// newSettings applies a client's options to the defaults.
func newSettings(opts []Option) clientSettings {
	settings := clientSettings{
		database:   DefaultDatabase,
		collection: DefaultCollection,
		minLease:   MinLease,
		metrics:    NopMetrics{},
		log:        logr.Discard(),
		lock: lockSettings{
			lease:       DefaultLease,
			autoRenew:   true,
			retryPeriod: DefaultRetryPeriod,
			owner:       defaultOwner(),
		},
	}
	for _, o := range opts {
		o.applyClient(&settings)
	}
	return settings
}

// defaultOwner names this process for people. It need not be unique: a grant is known by its random id, never by its owner.
func defaultOwner() string {
	host, err := os.Hostname()
	if err != nil || len(host) > 200 {
		host = "unknown-host"
	}
	return fmt.Sprintf("%s/%d", host, os.Getpid())
}

// WithDatabase sets the database used by [Connect]; default [DefaultDatabase]. [New] is given its database and ignores it.
func WithDatabase(name string) Option {
	return clientOption(func(s *clientSettings) { s.database = name })
}

// WithCollection sets the collection that holds the locks; default [DefaultCollection].
func WithCollection(name string) Option {
	return clientOption(func(s *clientSettings) { s.collection = name })
}

// WithGrace sets how long the document of an unused lock is kept before the server purges it; default [DefaultGrace], at least one
// minute, in whole seconds. Purging is hygiene only: leases end without it, and tokens keep growing over it. An existing TTL index
// with another period is changed, which needs the privilege collMod (role dbAdmin); without this option it is left as it is.
//
// On DocumentDB, and so on FerretDB 2, the clients purge instead of the server, each by the grace that it was given itself: the shortest
// counts. Give it to all clients of the collection there. The operator has the default; [Policy].Retain keeps single locks for good.
func WithGrace(d time.Duration) Option {
	return clientOption(func(s *clientSettings) { s.grace = d })
}

// WithFeed sets where clients tell each other of changes: a capped collection, by default in the database of the locks and named like
// their collection with "_feed" added. An empty uri, database or collection means that default. All clients of a collection of locks
// must be given the same. It is for servers that have capped collections with tailable cursors: MongoDB has them, FerretDB 2 and other
// servers on DocumentDB have not, and there clients ask every now and then instead. Nothing but speed depends on it; see the package
// documentation.
func WithFeed(uri, database, collection string) Option {
	return clientOption(func(s *clientSettings) { s.feed = feedSettings{uri: uri, database: database, collection: collection} })
}

// WithMetrics sets what is told of durations, contention and losses; default nothing. Package prometheus below this one has an
// implementation.
func WithMetrics(m Metrics) Option {
	return clientOption(func(s *clientSettings) { s.metrics = m })
}

// WithLogger sets where the client reports losses and store trouble; default nowhere.
func WithLogger(log logr.Logger) Option {
	return clientOption(func(s *clientSettings) { s.log = log })
}

// WithoutRelease makes [Client.Close] leave held leases to expire instead of releasing them.
func WithoutRelease() Option {
	return clientOption(func(s *clientSettings) { s.keepOnClose = true })
}

// WithDeferredCheck lets [New] and [Connect] return before the server was reached and tested, for programs that must start while
// it is down. The test is made by the first operation instead, and by every further one until it has passed.
func WithDeferredCheck() Option {
	return clientOption(func(s *clientSettings) { s.deferCheck = true })
}

// WithMinLease lowers the shortest lease accepted, which is one second. It is for tests: a lease close to the round trip time is
// lost at the first hiccup.
func WithMinLease(d time.Duration) Option {
	return clientOption(func(s *clientSettings) { s.minLease = d })
}

// WithLease sets how long a grant lasts unless it is renewed, and so how long a lock outlives a dead holder; default
// [DefaultLease], from 1 s to 24 h, in whole milliseconds. It is stored with the grant: others honour it whatever their own.
func WithLease(d time.Duration) LockOption {
	return lockOption(func(s *lockSettings) { s.lease = d })
}

// WithMargin sets how long before the end of its lease a holder stops believing in it; 0, the default, means a tenth of the lease, at
// most 1 s. It must be less than half of the lease. The margin pays for differences between the servers' clocks and for clock drift:
// see the package documentation. Of a lease of hours, drift alone may want more than the default.
func WithMargin(d time.Duration) LockOption {
	return lockOption(func(s *lockSettings) { s.margin = d })
}

// WithAutoRenew says whether the client renews the lease by itself until it is released; default true. Without it the lease ends
// at its deadline unless [Lease.Renew] is called.
func WithAutoRenew(on bool) LockOption {
	return lockOption(func(s *lockSettings) { s.autoRenew = on })
}

// WithRetryPeriod sets the longest time after which [Client.Lock] asks again although nothing told it to; default
// [DefaultRetryPeriod], 10 ms to 24 h. In the queue it asks every five seconds at least, to keep its place. It bounds how long a message
// that got lost delays a waiter; see the package documentation for how soon waiters normally know.
func WithRetryPeriod(d time.Duration) LockOption {
	return lockOption(func(s *lockSettings) { s.retryPeriod = d })
}

// Shared acquires the lock together with others that use this option, as many as the lock's capacity, which is 1 unless
// [Client.SetPolicy] says otherwise: a capacity of n makes the lock a semaphore with n permits, and the largest, [MaxCapacity], makes it a
// read-write lock, whose readers use Shared and whose writers do not. Who waits is not overtaken, so readers cannot starve a writer. A
// resource must not compare the tokens of shared holders with each other, see [Lease.Token].
func Shared() LockOption {
	return lockOption(func(s *lockSettings) { s.shared = true })
}

// WithoutQueue takes no part in the queue: [Client.TryLock] and [Client.Lock] acquire a lock that is free although others wait for it,
// and Lock waits by asking after each retry period and when the holder's lease ends. It is for whoever would rather be late than make
// others wait.
func WithoutQueue() LockOption {
	return lockOption(func(s *lockSettings) { s.barge = true })
}

// WithOwner sets the name shown to others; 1 to 256 bytes of UTF-8, default host name and process id. Two holders may share a name
// without sharing a lock.
func WithOwner(name string) LockOption {
	return lockOption(func(s *lockSettings) { s.owner = name })
}

// WithMetadata sets what else is shown of the holder; at most 16 keys and 4 KiB of keys and values, in UTF-8.
func WithMetadata(metadata map[string]string) LockOption {
	metadata = maps.Clone(metadata)
	return lockOption(func(s *lockSettings) { s.metadata = metadata })
}
