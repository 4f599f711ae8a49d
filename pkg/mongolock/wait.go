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

// How a call of Lock comes to the lock:
//
//	Lock --> lockByWaiting    stands in the client's line of the lock (lines), and goes on when it is the first there:
//	  |         |
//	  |         +--> tryLock      once, if nobody was in the line before it
//	  |         +--> lockInQueue  takes a place in the queue in the document and keeps it. In turns:
//	  |                 place.ask   sends the queue command: granted, refused for good, or there is no grant yet
//	  |                 wait.pause  until the lookout wakes it (the lock was handed over to it, or the lease of a holder has ended),
//	  |                             or patience ends: the place must be refreshed
//	  +----> lockByAsking     with WithoutQueue: tryLock again and again, in no line and no queue
//
// A place is the stay of one call in the queue; its wait is what the lookout knows of it, and wait.place, like document.Place, is how many
// stand before it. measureWait is for metrics only.

// maxWaitPause is the longest time between two sends of a waiter while the server does not answer: short, so that its place in the queue
// outlasts as much of an outage as it can.
const maxWaitPause = time.Second

// lockByWaiting waits in the client's line first. Who comes first there tries to get the lock; if that is refused, and who comes later
// when its turn has come, waits in the lock's queue on the server.
func (c *Client) lockByWaiting(ctx context.Context, id string, s lockSettings) (*Lease, error) {
	turn, first := c.lines.join(id)
	defer c.lines.leave(id, turn)
	var why error = &HeldError{Lock: id, Waiting: 1}
	if first {
		var lease *Lease
		if lease, why = c.tryLock(ctx, id, s); why == nil || ctx.Err() != nil || !mayPass(why) {
			return lease, why
		}
	}
	defer c.measureWait(id)()
	select {
	case <-turn:
	case <-ctx.Done():
		return nil, waitEnded(id, ended(ctx), why)
	}
	for {
		if why != nil && !errors.Is(why, ErrHeld) {
			c.log.Info("Lock attempt failed, trying again", "lock", id, "reason", why.Error())
			// Not for the whole retry period: there is no place in the queue yet, and others would come first.
			if ended := pause(ctx, jitter(min(s.retryPeriod, maxWaitPause))*2/3); ended != nil {
				return nil, waitEnded(id, ended, why)
			}
		}
		var lease *Lease
		if lease, why = c.lockInQueue(ctx, id, s); why == nil || ctx.Err() != nil || !mayPass(why) {
			return lease, why
		}
	}
}

// mayPass tells whether to go on waiting after this error.
func mayPass(err error) bool {
	return errors.Is(err, ErrHeld) || isTransient(err) || errors.Is(err, ErrOutcomeUnknown)
}

// lockInQueue takes a place in the lock's queue and keeps it until the lock is granted or ctx ends. One command does it all, sent again
// and again: it takes the place, refreshes it, confirms a hand-over, and takes over from a holder that died. It is sent when the
// lookout says that one of these is due, and in any case often enough to keep the place.
func (c *Client) lockInQueue(ctx context.Context, id string, s lockSettings) (*Lease, error) {
	if err := c.ready(ctx); err != nil {
		return nil, err
	}
	a := newAcquisition(id, s)
	p := &place{client: c, a: a, settings: s, wait: c.lookout.add(a.ref()), sent: -1} //nolint:contextcheck // the lookout serves all waiters
	defer c.lookout.remove(p.wait)
	for {
		lease, over, err := p.ask(ctx)
		if over {
			return lease, err
		}
		if ended := p.wait.pause(ctx, p.patience()); ended != nil {
			c.abandon(ctx, a.ref(), s.lease, p.uncertain())
			if p.unknown() {
				p.why = unknown(p.why)
			}
			return nil, waitEnded(id, ended, p.why)
		}
	}
}

// place is a waiter's stay in the queue of a lock.
type place struct {
	client   *Client
	a        acquisition
	settings lockSettings
	wait     *wait

	why      error // what stands in the way
	failures int   // sends without an answer since the last one with
	// sent is the time before the first send since the last answer, which was that there is no grant yet: so the deadline of a grant
	// counts from there; -1: none was sent.
	sent       time.Duration
	unanswered time.Duration // when the last send was given up, if any was
}

// ask sends the command once. It is over if the lock was granted, or if another try would not help.
func (p *place) ask(ctx context.Context) (lease *Lease, over bool, err error) {
	c := p.client
	if p.sent < 0 {
		p.sent = c.now()
	}
	asked := c.now()
	doc, err := c.send(ctx, c.store.queue, p.a, p.bound())
	switch {
	case err != nil && !isTransient(err) && ctx.Err() == nil:
		c.abandon(ctx, p.a.ref(), p.settings.lease, true)
		return nil, true, err
	case err != nil:
		p.failed(ctx, err)
		return nil, false, nil
	}
	if h, ok := doc.grant(p.a.holderID); ok && doc.live(h) {
		lease, err := c.take(ctx, doc, attempt{
			ref: p.a.ref(), settings: p.settings, sent: p.sent, asked: asked, uncertain: p.uncertain(),
		})
		return lease, true, err
	}
	if doc.Place < 0 {
		return nil, true, p.full(ctx)
	}
	if to := doc.handedTo(); p.why == nil || len(to) > 0 {
		c.changed(p.a.lock, to)
	}
	p.why, p.failures, p.sent = doc.heldBy(), 0, -1
	c.lookout.saw(p.wait, doc)
	return nil, false, nil
}

// bound is the time for one send: short, as several tries must fit into the time for confirming, but longer for a server that cannot do it
// as fast.
func (p *place) bound() time.Duration {
	return min(attemptTimeout(p.settings.lease), confirmTime/4<<min(p.failures, 6))
}

// failed notes a send without an answer.
func (p *place) failed(ctx context.Context, err error) {
	if mayHaveApplied(err) {
		p.unanswered = p.client.now()
	}
	if p.failures == 0 && ctx.Err() == nil {
		p.client.log.Info("Waiting for a lock while the server does not answer", "lock", p.a.lock, "reason", err.Error())
	}
	p.why = err
	p.failures++
}

// uncertain tells whether a send that was given up may still be carried out.
func (p *place) uncertain() bool {
	return p.unanswered > 0 && p.client.now()-p.unanswered < lateSend(p.settings.lease)
}

// unknown tells whether a send without an answer may have been granted the lock, or may yet be.
func (p *place) unknown() bool {
	return p.unanswered > 0 && p.sent >= 0 && p.unanswered >= p.sent || p.uncertain()
}

// patience is how long to wait for a sign before asking again.
func (p *place) patience() time.Duration {
	wait := jitter(min(p.settings.retryPeriod, refreshPeriod)) * 2 / 3 // never more than the period
	if p.failures > 0 {
		wait = min(wait, jitter(maxWaitPause)*2/3, retryPause(p.settings.lease)<<min(p.failures-1, 10))
	}
	return wait
}

// full is the error when there is no place.
func (p *place) full(ctx context.Context) error {
	if p.uncertain() {
		p.client.abandon(ctx, p.a.ref(), p.settings.lease, true)
	}
	return fmt.Errorf("%w: lock %q has %d waiters already; wait elsewhere, or use TryLock now and then", ErrQueueFull, p.a.lock, MaxWaiters)
}

// changed spreads the news that a lock was changed by this client, and to whom it was handed over.
func (c *Client) changed(lock string, to []string) {
	c.lookout.handedOver(lock, to)
	c.awaits.rung([]string{lock})
	c.bell.ring(lock, to)
}
