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
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	"go.mongodb.org/mongo-driver/v2/mongo"
)

// Client acquires locks kept in one MongoDB collection and renews the leases it holds. One per process is enough; all methods may
// be called from any goroutine. It must be closed.
type Client struct {
	settings clientSettings
	log      logr.Logger
	store    store
	now      func() time.Duration // time that counts suspensions; see bootTime
	owned    []*mongo.Client      // disconnected by Close

	check     func(context.Context) error // tests the server
	checked   atomic.Bool                 // it has passed
	checkMu   sync.Mutex
	checkDone *checkResult // of the test in progress, or nil

	closing context.Context // done as soon as Close is called
	close   context.CancelFunc
	ctx     context.Context // for background work; done when Close has waited for it
	stop    context.CancelFunc

	renewer *renewer
	lines   *lines
	lookout *lookout
	awaits  *awaits
	bell    *doorbell
	feed    *feed
	tasks   sync.WaitGroup // operations in progress and background work

	mu      sync.Mutex
	closed  bool // no more operations
	drained bool // no more tasks
	leases  map[*Lease]struct{}
}

// newClient makes a client on any store; values of ctx are kept, its end is not.
func newClient(ctx context.Context, settings clientSettings, s store, bell *mongo.Collection, now func() time.Duration) *Client {
	c := &Client{
		settings: settings, log: settings.log, store: s, now: now,
		check:  func(context.Context) error { return nil },
		leases: map[*Lease]struct{}{},
	}
	c.ctx, c.stop = context.WithCancel(context.WithoutCancel(ctx))
	c.closing, c.close = context.WithCancel(c.ctx)
	c.renewer = newRenewer(c)
	c.lines = newLines()
	c.lookout = newLookout(c)
	c.awaits = newAwaits()
	c.bell = newDoorbell(c, bell)
	c.feed = newFeed(c)
	c.tasks.Go(func() { c.renewer.run(c.closing) })
	return c
}

// Close ends the client: waiting calls return [ErrClosed], watchers end, and held leases are released, or with [WithoutRelease]
// left to expire. It waits for all that to finish until ctx ends; then it returns the context's error, and what was not released ends with
// its lease. Some things take up to five seconds each although ctx has ended: a [Lease.Unlock] in progress, and, if ctx had ended before Close
// was called, the releases, as a deferred Close has to release, and each disconnection of a driver's client of its own. Further calls do
// nothing.
func (c *Client) Close(ctx context.Context) error {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return nil
	}
	c.closed = true
	held := slices.Collect(maps.Keys(c.leases))
	c.mu.Unlock()
	c.close()

	err := c.releaseAll(ctx, held)
	err = errors.Join(err, c.drain(ctx))
	for _, driver := range c.owned {
		disconnect, cancel := cleanupContext(ctx)
		if driver.Disconnect(disconnect) != nil {
			err = errors.Join(err, errors.New("mongolock: the driver's client was not disconnected in time"))
		}
		cancel()
	}
	return err
}

// releaseAll ends all leases and releases them until ctx ends, or, if it has ended already, for a few seconds. Once the server has
// failed to answer for one, the others are left to expire.
func (c *Client) releaseAll(ctx context.Context, held []*Lease) error {
	if ctx.Err() != nil { // a deferred Close must release all the same
		var cancel context.CancelFunc
		ctx, cancel = cleanupContext(ctx)
		defer cancel()
	}
	var releasing sync.WaitGroup
	var failed atomic.Bool
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
			if !l.end(fmt.Errorf("%w: lock %q: the client was closed", ErrNotHeld, l.ref.lock)) || failed.Load() {
				return
			}
			bounded, cancel := context.WithTimeout(ctx, cleanupTimeout)
			defer cancel()
			if err := c.release(bounded, l); err != nil && !errors.Is(err, ErrNotHeld) {
				failed.Store(true)
				errs[i] = err
			}
		})
	}
	releasing.Wait()
	return errors.Join(errs...)
}

// drain waits for all tasks, and when ctx ends makes them end.
func (c *Client) drain(ctx context.Context) error {
	c.mu.Lock()
	c.drained = true
	c.mu.Unlock()
	finished := make(chan struct{})
	go func() { // ends when the tasks do: c.stop makes them
		c.tasks.Wait()
		close(finished)
	}()
	defer c.stop()
	select {
	case <-finished:
		return nil
	case <-ctx.Done():
		c.stop()
		<-finished
		return ctx.Err()
	}
}

// enter counts a task that Close waits for; it is false once Close takes no more.
func (c *Client) enter() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.drained {
		return false
	}
	c.tasks.Add(1)
	return true
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
		// Of a grant that was confirmed a while ago less than a lease is left.
		c.renewer.schedule(l, min(l.nextRenewal(l.sent), c.now()+l.remaining()/2))
	}
	c.renewer.wakeBy(l.sent + suspensionCheck)
	select {
	case <-l.done: // it ended before it was added: end has called forget already
		c.drop(l)
	default:
	}
	return true
}

// drop undoes remember.
func (c *Client) drop(l *Lease) {
	c.renewer.remove(l)
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.leases, l)
}

// forget is called once, by the end of a lease.
func (c *Client) forget(l *Lease, reason error) {
	c.drop(l)
	c.settings.metrics.Held(l.ref.lock, c.now()-l.sent, errors.Is(reason, ErrLeaseLost))
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
	held := slices.Collect(maps.Keys(c.leases))
	c.mu.Unlock()
	for _, l := range held {
		l.onTimer() // also sets the timer anew, which stood still
	}
}
