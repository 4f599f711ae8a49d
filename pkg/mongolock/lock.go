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
	"time"
)

// TryLock acquires the lock if it is free and returns at once if it is not, with a [*HeldError], which matches [ErrHeld]. A lock that
// others wait for is not free; see [WithoutQueue]. An empty id means a new random one: see [Lease.ID]. Other errors: [ErrInvalid],
// [ErrClosed], [ErrForeignDocument], [ErrUnauthorized], [ErrUnreachable] when the server could not be asked, [ErrOutcomeUnknown] when it
// did not answer. While it does not answer, TryLock asks again for half of the lease, at most ten seconds. What may have been acquired
// in spite of an error is released in the background.
func (c *Client) TryLock(ctx context.Context, id string, opts ...LockOption) (*Lease, error) {
	return c.acquire(ctx, id, opts, c.tryLock)
}

// Lock waits until it acquires the lock or ctx ends. Waiting calls are granted the lock in the order of their arrival at the server;
// those of one Client wait for each other and have one place there at a time. A lock is not re-entrant: who holds it and calls Lock
// again waits for itself. While the server cannot be reached Lock goes on trying.
// When ctx ends, the error matches ctx.Err() and what stood in the way, such as [ErrHeld], or [ErrOutcomeUnknown] when the server did not
// answer. Other errors: [ErrQueueFull], and those of [Client.TryLock] that another try would not mend.
func (c *Client) Lock(ctx context.Context, id string, opts ...LockOption) (*Lease, error) {
	return c.acquire(ctx, id, opts, func(ctx context.Context, id string, s lockSettings) (*Lease, error) {
		if s.barge {
			return c.lockByAsking(ctx, id, s)
		}
		return c.lockByWaiting(ctx, id, s)
	})
}

// Do waits for the lock, runs fn, and releases the lock, also when fn panics. The context given to fn is cancelled when the lease is
// lost; fn must then stop. Do returns fn's error joined with [ErrLeaseLost] if the lease was lost before fn returned, or with the
// error of the release.
func (c *Client) Do(ctx context.Context, id string, fn func(context.Context, *Lease) error, opts ...LockOption) (err error) {
	lease, err := c.Lock(ctx, id, opts...)
	if err != nil {
		return err
	}
	defer func() {
		err = errors.Join(err, lease.Unlock(ctx)) // of a lost lease it tells the loss
	}()
	work, stop := lease.scope(ctx)
	defer stop()
	return fn(work, lease)
}

// acquire is what TryLock and Lock have in common.
func (c *Client) acquire(ctx context.Context, id string, opts []LockOption, how func(context.Context, string, lockSettings) (*Lease, error),
) (*Lease, error) {
	id, settings, err := c.lockSettings(id, opts)
	if err != nil {
		return nil, err
	}
	ctx, finish, err := c.begin(ctx)
	if err != nil {
		return nil, err
	}
	defer finish()
	began := c.now()
	lease, err := how(ctx, id, settings)
	c.settings.metrics.Acquired(id, outcomeOf(err), c.now()-began)
	return lease, err
}

// lockByAsking tries again and again.
func (c *Client) lockByAsking(ctx context.Context, id string, s lockSettings) (*Lease, error) {
	lease, err := c.tryLock(ctx, id, s)
	if err == nil || ctx.Err() != nil || !mayPass(err) {
		return lease, err
	}
	defer c.measureWait(id)()
	for {
		wait := jitter(s.retryPeriod) * 2 / 3 // never more than the retry period
		var held *HeldError
		switch {
		case errors.As(err, &held) && held.Remaining > 0:
			wait = min(wait, held.Remaining+jitter(20*time.Millisecond))
		case held == nil:
			c.log.Info("Lock attempt failed, trying again", "lock", id, "reason", err.Error())
		}
		if ended := pause(ctx, wait); ended != nil {
			return nil, waitEnded(id, ended, err)
		}
		lease, err = c.tryLock(ctx, id, s)
		if err == nil || ctx.Err() != nil || !mayPass(err) {
			return lease, err
		}
	}
}

// waitEnded tells why waiting ended and what stood in the way.
func waitEnded(id string, ended, why error) error {
	return fmt.Errorf("mongolock: waiting for lock %q: %w: %w", id, ended, why)
}

// tryLock makes one acquisition. Its id stays the same over all sends, so that a send whose reply was lost is recognised by the next,
// and the deadline counts from before the first.
func (c *Client) tryLock(ctx context.Context, id string, s lockSettings) (*Lease, error) {
	if err := c.ready(ctx); err != nil {
		return nil, err
	}
	a := newAcquisition(id, s)
	try := attempt{settings: s, ref: a.ref(), sent: c.now()}
	giveUp := try.sent + min(s.lease/2, maxAcquire)
	for {
		try.asked = c.now()
		doc, err := c.send(ctx, c.store.acquire, a, min(attemptTimeout(s.lease), giveUp-try.asked))
		if err == nil {
			return c.take(ctx, doc, try)
		}
		try.uncertain = try.uncertain || mayHaveApplied(err)
		if ctx.Err() == nil && isTransient(err) && c.now() < giveUp {
			_ = pause(ctx, min(retryPause(s.lease), giveUp-c.now()))
			if ctx.Err() == nil && c.now() < giveUp {
				continue
			}
		}
		if try.uncertain {
			c.abandon(ctx, try.ref, s.lease, true)
		}
		if ctx.Err() != nil {
			err = fmt.Errorf("mongolock: acquiring lock %q: %w", id, joinEnded(ctx, err))
		}
		if try.uncertain {
			err = fmt.Errorf("%w: lock %q: %w", ErrOutcomeUnknown, id, err)
		}
		return nil, err
	}
}

// attempt is an acquisition on its way to becoming a lease.
type attempt struct {
	ref      grantRef
	settings lockSettings
	sent     time.Duration // the time before the first send since it was known that there is no grant
	asked    time.Duration // the time before the send that was answered
	// uncertain: a send went unanswered. It may still reach the server, and find the lock free then, when nobody looks after the grant
	// any more; so whoever ends the acquisition has to watch for that.
	uncertain bool
}

// newAcquisition makes the random id by which all sends of this acquisition are known.
func newAcquisition(id string, s lockSettings) acquisition {
	mode := modeExclusive
	if s.shared {
		mode = modeShared
	}
	return acquisition{
		lock: id, holderID: newHolderID(), owner: s.owner, mode: mode, leaseMS: s.lease.Milliseconds(), meta: metaPairs(s.metadata), barge: s.barge,
	}
}

func (a acquisition) ref() grantRef { return grantRef{lock: a.lock, holderID: a.holderID} }

// send makes one bounded attempt at one of the store's two ways to acquire.
func (c *Client) send(ctx context.Context, how func(context.Context, acquisition) (*document, error), a acquisition, bound time.Duration,
) (*document, error) {
	ctx, cancel := context.WithTimeout(ctx, bound)
	defer cancel()
	return how(ctx, a)
}

// take turns the server's answer into a lease that this client looks after, or into a HeldError.
func (c *Client) take(ctx context.Context, doc *document, try attempt) (*Lease, error) {
	h, ok := doc.grant(try.ref.holderID)
	if !ok || !doc.live(h) {
		if try.uncertain {
			c.abandon(ctx, try.ref, try.settings.lease, try.uncertain)
		}
		return nil, doc.heldBy()
	}
	lease, err := c.newLease(h, untilEnd(h.ExpiresAt, doc.Now), try)
	if err == nil {
		lease.contended = doc.Queued > 0
		c.changed(try.ref.lock, doc.handedTo())
	}
	if err == nil && !c.remember(lease) {
		lease.end(fmt.Errorf("%w: lock %q: the client was closed", ErrNotHeld, try.ref.lock))
		err = ErrClosed
	}
	if err != nil {
		c.abandon(ctx, try.ref, try.settings.lease, try.uncertain)
		return nil, err
	}
	return lease, nil
}
