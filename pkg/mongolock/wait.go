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

// lockByWaiting waits in the client's line first. Who is the first there tries to get the lock, and if that is refused, waits in the
// lock's queue on the server.
func (c *Client) lockByWaiting(ctx context.Context, id string, s lockSettings) (*Lease, error) {
	began := c.now()
	c.settings.metrics.Waiting(1)
	defer c.settings.metrics.Waiting(-1)
	leave, waited, err := c.lines.stand(ctx, id)
	defer func() {
		if waited {
			c.settings.metrics.Waited(id, c.now()-began)
		}
	}()
	if err != nil {
		return nil, waitEnded(id, err, &HeldError{Lock: id, Waiting: 1})
	}
	defer leave()
	acquire := c.tryLock
	if waited {
		acquire = c.lockInQueue
	}
	for {
		lease, err := acquire(ctx, id, s)
		switch {
		case err == nil:
			return lease, nil
		case ctx.Err() != nil:
			return nil, err
		case errors.Is(err, ErrHeld) && !waited: // by tryLock
			acquire, waited = c.lockInQueue, true
			continue
		case !isTransient(err) && !errors.Is(err, ErrOutcomeUnknown):
			return nil, err
		}
		c.log.Info("Lock attempt failed, trying again", "lock", id, "reason", err.Error())
		if pauseErr := pause(ctx, jitter(s.retryPeriod)*2/3); pauseErr != nil {
			return nil, waitEnded(id, pauseErr, err)
		}
	}
}

// lockInQueue takes a place in the lock's queue and keeps it until the lock is granted or ctx ends. One command does it all, sent again
// and again: it takes the place, refreshes it, confirms a hand-over, and takes over from a holder that died. It is sent when the
// lookout says that one of these is due, and in any case often enough to keep the place.
func (c *Client) lockInQueue(ctx context.Context, id string, s lockSettings) (*Lease, error) {
	if err := c.ready(ctx); err != nil {
		return nil, err
	}
	a := newAcquisition(id, s)
	w := c.lookout.add(a.ref()) //nolint:contextcheck // the lookout serves all waiters
	defer c.lookout.remove(w)
	var why error
	var unanswered time.Duration // when the last send was given up, if any was
	uncertain := func() bool { return unanswered > 0 && c.now()-unanswered < lateSend(s.lease) }
	// The deadline of a grant counts from the first send after the last answer, which was that there is none yet.
	sent, failures := c.now(), 0
	for {
		doc, err := c.send(ctx, c.store.queue, a, attemptTimeout(s.lease))
		wait := jitter(min(s.retryPeriod, refreshPeriod)) * 2 / 3
		switch {
		case err == nil:
			if h, ok := doc.grant(a.holderID); ok && doc.live(h) {
				return c.take(ctx, doc, attempt{ref: a.ref(), settings: s, sent: sent, uncertain: uncertain()})
			}
			if doc.Place < 0 {
				return nil, c.queueFull(ctx, a, s, uncertain())
			}
			if to := doc.handedTo(); why == nil || len(to) > 0 {
				c.changed(id, to)
			}
			why, failures, sent = doc.heldBy(), 0, 0
			c.lookout.saw(w, doc)
		case !isTransient(err) && ctx.Err() == nil:
			c.abandon(ctx, a.ref(), s.lease, true)
			return nil, err
		default:
			if mayHaveApplied(err) {
				unanswered = c.now()
			}
			if why = err; failures == 0 && ctx.Err() == nil {
				c.log.Info("Waiting for a lock while the server does not answer", "lock", id, "reason", err.Error())
			}
			wait = min(wait, retryPause(s.lease)<<min(failures, 10))
			failures++
		}
		if pauseErr := w.pause(ctx, wait); pauseErr != nil {
			c.abandon(ctx, a.ref(), s.lease, uncertain())
			return nil, waitEnded(id, pauseErr, why)
		}
		if sent == 0 {
			sent = c.now()
		}
	}
}

// queueFull is the error of a waiter for whom there is no place.
func (c *Client) queueFull(ctx context.Context, a acquisition, s lockSettings, uncertain bool) error {
	if uncertain {
		c.abandon(ctx, a.ref(), s.lease, true)
	}
	return fmt.Errorf("%w: lock %q has %d waiters already; wait elsewhere, or use TryLock now and then", ErrQueueFull, a.lock, MaxWaiters)
}

// changed spreads the news that a lock was changed by this client, and to whom it was handed over.
func (c *Client) changed(lock string, to []string) {
	c.lookout.handedOver(lock, to)
	c.bell.ring(lock, to)
}
