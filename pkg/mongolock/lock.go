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

// TryLock acquires the lock if it is free and returns at once if it is not, with a [*HeldError], which matches [ErrHeld]. An empty id
// means a new random one: see [Lease.ID]. Other errors: [ErrInvalid], [ErrClosed], [ErrForeignDocument], [ErrUnauthorized],
// [ErrUnreachable] when the server could not be asked, [ErrOutcomeUnknown] when it did not answer. While it does not answer,
// TryLock asks again for half of the lease, at most ten seconds. What may have been acquired in spite of an error is released
// in the background.
func (c *Client) TryLock(ctx context.Context, id string, opts ...LockOption) (*Lease, error) {
	id, settings, err := c.lockSettings(id, opts)
	if err != nil {
		return nil, err
	}
	ctx, finish, err := c.begin(ctx)
	if err != nil {
		return nil, err
	}
	defer finish()
	return c.tryLock(ctx, id, settings)
}

// Lock waits until it acquires the lock or ctx ends. It tries again when the holder's lease ends and after each retry period. While
// the server cannot be reached it goes on trying. When ctx ends, the error matches ctx.Err() and what stood in the way, such as
// [ErrHeld]. Other errors: those of [Client.TryLock] that another try would not mend.
func (c *Client) Lock(ctx context.Context, id string, opts ...LockOption) (*Lease, error) {
	id, settings, err := c.lockSettings(id, opts)
	if err != nil {
		return nil, err
	}
	ctx, finish, err := c.begin(ctx)
	if err != nil {
		return nil, err
	}
	defer finish()
	for {
		lease, err := c.tryLock(ctx, id, settings)
		if err == nil {
			return lease, nil
		}
		wait := jitter(settings.retryPeriod) * 2 / 3 // never more than the retry period
		var held *HeldError
		switch {
		case errors.As(err, &held):
			wait = min(wait, held.Remaining+jitter(20*time.Millisecond))
		case ctx.Err() != nil || !isTransient(err) && !errors.Is(err, ErrOutcomeUnknown):
			return nil, err
		default:
			c.log.Info("Lock attempt failed, trying again", "lock", id, "reason", err.Error())
		}
		if pauseErr := pause(ctx, wait); pauseErr != nil {
			return nil, fmt.Errorf("mongolock: waiting for lock %q: %w: %w", id, pauseErr, err)
		}
	}
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

// tryLock makes one acquisition. Its id stays the same over all sends, so that a send whose reply was lost is recognised by the next,
// and the deadline counts from before the first.
func (c *Client) tryLock(ctx context.Context, id string, s lockSettings) (*Lease, error) {
	if err := c.ready(ctx); err != nil {
		return nil, err
	}
	a := acquisition{lock: id, holderID: newHolderID(), owner: s.owner, leaseMS: s.lease.Milliseconds(), meta: metaPairs(s.metadata)}
	try := attempt{settings: s, ref: grantRef{lock: id, holderID: a.holderID}, sent: c.now()}
	giveUp := try.sent + min(s.lease/2, maxAcquire)
	for {
		doc, err := c.acquireAttempt(ctx, a, min(attemptTimeout(s.lease), giveUp-c.now()))
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
			c.abandon(ctx, try.ref, s.lease)
		}
		switch {
		case ctx.Err() != nil:
			return nil, fmt.Errorf("mongolock: acquiring lock %q: %w", id, joinEnded(ctx, err))
		case try.uncertain:
			return nil, fmt.Errorf("%w: lock %q: %w", ErrOutcomeUnknown, id, err)
		}
		return nil, err
	}
}

// attempt is an acquisition on its way to becoming a lease.
type attempt struct {
	ref      grantRef
	settings lockSettings
	sent     time.Duration // the time before the first send
	// uncertain: a send went unanswered. It may still reach the server, and find the lock free then, when nobody looks after the grant
	// any more; so whoever ends the acquisition has to watch for that.
	uncertain bool
}

func (c *Client) acquireAttempt(ctx context.Context, a acquisition, bound time.Duration) (*document, error) {
	ctx, cancel := context.WithTimeout(ctx, bound)
	defer cancel()
	return c.store.acquire(ctx, a)
}

// take turns the server's answer into a lease that this client looks after, or into a HeldError.
func (c *Client) take(ctx context.Context, doc *document, try attempt) (*Lease, error) {
	h, ok := doc.grant(try.ref.holderID)
	if !ok || !doc.live(h) {
		if try.uncertain {
			c.abandon(ctx, try.ref, try.settings.lease)
		}
		return nil, doc.heldBy()
	}
	lease, err := c.newLease(h, try)
	if err == nil && !c.remember(lease) {
		lease.end(fmt.Errorf("%w: lock %q: the client was closed", ErrNotHeld, try.ref.lock))
		err = ErrClosed
	}
	if err != nil {
		c.abandon(ctx, try.ref, try.settings.lease)
		return nil, err
	}
	return lease, nil
}

// abandon releases in the background what may have been acquired. A request may still be on its way to the server, so one answer is
// not believed: it goes on until the server has stopped working on what was sent in time. The caller is a task of the client.
func (c *Client) abandon(ctx context.Context, ref grantRef, lease time.Duration) {
	quiet := c.now() + attemptTimeout(lease) + 100*time.Millisecond
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), min(lease, maxAcquire))
	stop := context.AfterFunc(c.ctx, cancel) //nolint:contextcheck // the client's own life bounds it too
	c.tasks.Go(func() {
		defer stop()
		defer cancel()
		for wait := attemptTimeout(lease) / 8; ; wait *= 2 {
			_, err := c.releaseAttempt(ctx, ref, lease)
			if err != nil && !isTransient(err) {
				c.log.Info("Abandoned acquisition is left to expire", "lock", ref.lock, "reason", err.Error())
				return
			}
			left := quiet - c.now()
			if err == nil && left <= 0 || pause(ctx, max(min(wait, left), time.Millisecond)) != nil {
				return
			}
		}
	})
}

// release takes the grant out of the document, for as long as ctx lets it try. The caller is a task of the client.
func (c *Client) release(ctx context.Context, l *Lease) error {
	if l.uncertain {
		defer c.abandon(ctx, l.ref, l.lease)
	}
	repeated := false
	for {
		released, err := c.releaseAttempt(ctx, l.ref, l.lease)
		switch {
		case err == nil && released:
			return nil
		case err == nil && repeated:
			return c.releasedBefore(ctx, l)
		case err == nil:
			return fmt.Errorf("%w: lock %q: the server no longer has this grant", ErrNotHeld, l.ref.lock)
		case !isTransient(err):
			return err
		}
		repeated = repeated || mayHaveApplied(err)
		if pause(ctx, retryPause(l.lease)) != nil {
			return fmt.Errorf("%w: release of lock %q, which ends with its lease: %w", ErrOutcomeUnknown, l.ref.lock, err)
		}
	}
}

// releasedBefore tells whether an earlier send, whose reply was lost, made the release: then the document has its event.
func (c *Client) releasedBefore(ctx context.Context, l *Lease) error {
	docs, err := c.store.find(ctx, query{ids: []string{l.ref.lock}})
	if err != nil {
		return fmt.Errorf("%w: release of lock %q: %w", ErrOutcomeUnknown, l.ref.lock, err)
	}
	for _, doc := range docs {
		for _, e := range doc.Events {
			if e.Token == l.token && e.Type == string(EventReleased) {
				return nil
			}
		}
		if len(doc.Events) == ringSize && doc.Events[0].Token > l.token {
			return fmt.Errorf("%w: release of lock %q: it is no longer held, but its event has been overwritten", ErrOutcomeUnknown, l.ref.lock)
		}
	}
	return fmt.Errorf("%w: lock %q: the server no longer has this grant", ErrNotHeld, l.ref.lock)
}

func (c *Client) releaseAttempt(ctx context.Context, ref grantRef, lease time.Duration) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, attemptTimeout(lease))
	defer cancel()
	return c.store.release(ctx, ref)
}
