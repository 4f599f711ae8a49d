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
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

// checkTimeout bounds the first contact with the server.
const checkTimeout = 10 * time.Second

// Client acquires locks kept in one MongoDB collection and renews the leases it holds. One per process is enough; all methods may
// be called from any goroutine. It must be closed.
type Client struct {
	settings clientSettings
	log      logr.Logger
	store    store
	now      func() time.Duration // time that counts suspensions; see bootTime
	check    func(context.Context) error
	owned    *mongo.Client // disconnected by Close, if not nil

	checked   atomic.Bool
	checkSlot chan struct{} // held while checking

	closing context.Context // done as soon as Close is called
	close   context.CancelFunc
	ctx     context.Context // for background work; done when Close has waited for it
	stop    context.CancelFunc

	renewer *renewer
	feed    *feed
	tasks   sync.WaitGroup // operations in progress and background work

	mu     sync.Mutex
	closed bool
	leases map[*Lease]struct{}
}

// New makes a client that keeps its locks in db, whose own client stays the caller's. It tests the server on a scratch document and
// creates the indexes, which takes about ten round trips and at most ten seconds. It may return [ErrInvalid], [ErrUnreachable],
// [ErrUnauthorized] or [ErrUnsupportedServer].
func New(ctx context.Context, db *mongo.Database, opts ...Option) (*Client, error) {
	if db == nil {
		return nil, invalid("the database is nil")
	}
	settings := defaultSettings()
	for _, o := range opts {
		o.applyClient(&settings)
	}
	if err := settings.validate(); err != nil {
		return nil, err
	}
	s := newMongoStore(db, settings.collection)
	c := newClient(ctx, settings, s, bootTime)
	c.check = func(ctx context.Context) error { return s.prepare(ctx, settings.grace) }
	if !settings.deferCheck {
		if err := c.ready(ctx); err != nil {
			return nil, errors.Join(err, c.Close(ctx))
		}
	}
	return c, nil
}

// Connect is [New] with a driver client of its own, which [Client.Close] disconnects. uri is a MongoDB connection string; it never
// appears in an error. It may return what New returns, and [ErrInvalid] for a connection string that cannot be used.
func Connect(ctx context.Context, uri string, opts ...Option) (*Client, error) {
	settings := defaultSettings()
	for _, o := range opts {
		o.applyClient(&settings)
	}
	clientOptions := options.Client().ApplyURI(uri)
	if clientOptions.Validate() != nil {
		// The driver's text may quote the string, and with it a password.
		return nil, invalid("the connection string cannot be used; it must look like mongodb://user:password@host:27017/?authSource=admin, " +
			"with special characters percent-encoded")
	}
	driver, err := mongo.Connect(clientOptions)
	if err != nil {
		return nil, invalid("the driver refused the options of the connection string")
	}
	c, err := New(ctx, driver.Database(settings.database), opts...)
	if err != nil {
		cleanup, cancel := cleanupContext(ctx)
		defer cancel()
		_ = driver.Disconnect(cleanup) // the first error tells more
		return nil, err
	}
	c.owned = driver
	return c, nil
}

// newClient makes a client on any store; values of ctx are kept, its end is not.
func newClient(ctx context.Context, settings clientSettings, s store, now func() time.Duration) *Client {
	c := &Client{
		settings: settings, log: settings.log, store: s, now: now,
		check:     func(context.Context) error { return nil },
		checkSlot: make(chan struct{}, 1),
		leases:    map[*Lease]struct{}{},
	}
	c.ctx, c.stop = context.WithCancel(context.WithoutCancel(ctx))
	c.closing, c.close = context.WithCancel(c.ctx)
	c.renewer = newRenewer(c)
	c.feed = newFeed(c)
	c.tasks.Go(func() { c.renewer.run(c.closing) })
	return c
}

// Close ends the client: waiting calls return [ErrClosed], watchers end, and held leases are released, or with [WithoutRelease]
// left to expire. It waits for all that to finish, but not beyond ctx; then it returns the context's error, and what was not
// released ends with its lease. Further calls do nothing.
func (c *Client) Close(ctx context.Context) error {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return nil
	}
	c.closed = true
	held := make([]*Lease, 0, len(c.leases))
	for l := range c.leases {
		held = append(held, l)
	}
	c.mu.Unlock()
	c.close()

	var releasing sync.WaitGroup
	errs := make([]error, len(held))
	slots := make(chan struct{}, 16) // not one connection per lease
	for i, l := range held {
		if c.settings.keepOnClose {
			l.end(lost(l.ref.lock, "the client was closed"))
			continue
		}
		releasing.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			if err := l.Unlock(ctx); !errors.Is(err, ErrNotHeld) {
				errs[i] = err
			}
		})
	}
	releasing.Wait()
	err := errors.Join(errs...)

	finished := make(chan struct{})
	go func() { // ends when the tasks do: c.stop makes them
		c.tasks.Wait()
		close(finished)
	}()
	select {
	case <-finished:
		c.stop()
	case <-ctx.Done():
		c.stop()
		<-finished
		err = errors.Join(err, ctx.Err())
	}
	if c.owned != nil {
		disconnect, cancel := cleanupContext(ctx)
		defer cancel()
		if c.owned.Disconnect(disconnect) != nil {
			err = errors.Join(err, fmt.Errorf("mongolock: the driver's client was not disconnected in time"))
		}
	}
	return err
}

// begin starts an operation: its context also ends when the client is closed, with ErrClosed as the cause.
func (c *Client) begin(ctx context.Context) (context.Context, func(), error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, nil, ErrClosed
	}
	c.tasks.Add(1)
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(c.closing, func() { cancel(ErrClosed) })
	return ctx, func() {
		stop()
		cancel(nil)
		c.tasks.Done()
	}, nil
}

// ready makes sure that the server was tested: once for the client's life, by whoever comes first.
func (c *Client) ready(ctx context.Context) error {
	if c.checked.Load() {
		return nil
	}
	select {
	case c.checkSlot <- struct{}{}:
		defer func() { <-c.checkSlot }()
	case <-ctx.Done():
		return ended(ctx)
	}
	if c.checked.Load() {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	if err := c.check(ctx); err != nil {
		return err
	}
	c.checked.Store(true)
	return nil
}

// remember adds a lease to those that Close releases and, if it wants, to those that are renewed. It is false once Close has begun.
func (c *Client) remember(l *Lease) bool {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return false
	}
	c.leases[l] = struct{}{}
	c.mu.Unlock()
	if l.autoRenew {
		c.renewer.schedule(l, c.now()+l.lease/3)
	}
	c.renewer.nudge()
	return true
}

// forget is called once, by the end of a lease.
func (c *Client) forget(l *Lease, reason error) {
	c.renewer.remove(l)
	c.mu.Lock()
	delete(c.leases, l)
	c.mu.Unlock()
	if errors.Is(reason, ErrLeaseLost) {
		c.log.Info("Lease lost", "lock", l.ref.lock, "token", l.token, "reason", reason.Error())
	}
}

func (c *Client) holdsAny() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.leases) > 0
}

// expireDue ends the leases whose deadline passed while the timers stood still.
func (c *Client) expireDue() {
	c.mu.Lock()
	held := make([]*Lease, 0, len(c.leases))
	for l := range c.leases {
		held = append(held, l)
	}
	c.mu.Unlock()
	for _, l := range held {
		l.expireIfDue()
	}
}
