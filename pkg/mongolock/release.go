/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package mongolock

import (
	"context"
	"fmt"
	"time"
)

// What ends is ended in one of these ways:
//
//   - Lease.end: the lease is over for its holder, for whatever reason; nothing is sent. forget is what it tells the client.
//   - release: the grant of a lease is taken out at the server, for its holder, who is told what became of it (a departure, its exit).
//   - leave: whatever stands under an acquisition's id is taken out at the server, a grant or a place in the queue. Nobody is told.
//   - abandon: leave, in the background and repeated.
//
// The client's lines and lookout have a leave and a remove of their own, for calls that wait no more; drop undoes remember.

// release takes the grant out of the document, for as long as ctx lets it try. The caller is a task of the client.
func (c *Client) release(ctx context.Context, l *Lease) error {
	if c.now() < l.lateUntil {
		defer c.abandon(ctx, l.ref, l.lease, true)
	}
	repeated := false
	for {
		gone, err := c.releaseAttempt(ctx, l)
		if gone.changed() {
			c.changed(l.ref.lock, gone.to)
		}
		switch {
		case err == nil:
			return c.released(ctx, l, gone, repeated)
		case !isTransient(err):
			return err
		}
		repeated = repeated || mayHaveApplied(err)
		if pause(ctx, retryPause(l.lease)) != nil {
			return fmt.Errorf("%w: release of lock %q, which ends with its lease at the latest: %w", ErrOutcomeUnknown, l.ref.lock, err)
		}
	}
}

// released is what a release that was carried out is to its caller.
func (c *Client) released(ctx context.Context, l *Lease, gone departure, repeated bool) error {
	switch {
	case gone.how == exitDone || gone.how == exitUnknown && l.remaining() > 0:
		return nil
	case gone.how == exitUnknown:
		return forgotten(l)
	case repeated:
		return c.releasedBefore(ctx, l)
	}
	return fmt.Errorf("%w: lock %q: the server no longer has this grant", ErrNotHeld, l.ref.lock)
}

// releasedBefore tells whether an earlier send, whose reply was lost, made the release: then the document has its event.
func (c *Client) releasedBefore(ctx context.Context, l *Lease) error {
	docs, err := c.store.find(ctx, query{ids: []string{l.ref.lock}})
	if err != nil {
		return fmt.Errorf("%w: release of lock %q: %w", ErrOutcomeUnknown, l.ref.lock, err)
	}
	how := exitLate
	if len(docs) > 0 {
		how = docs[0].exit(EventReleased, l.token)
	}
	switch how {
	case exitDone:
		return nil
	case exitUnknown:
		return forgotten(l)
	}
	return fmt.Errorf("%w: lock %q: the server no longer has this grant", ErrNotHeld, l.ref.lock)
}

// forgotten is returned when it cannot be found out whether the lease had ended by itself before it was released.
func forgotten(l *Lease) error {
	return fmt.Errorf("%w: release of lock %q: it is no longer held, but its event has been overwritten", ErrOutcomeUnknown, l.ref.lock)
}

func (c *Client) releaseAttempt(ctx context.Context, l *Lease) (departure, error) {
	ctx, cancel := context.WithTimeout(ctx, attemptTimeout(l.lease))
	defer cancel()
	return c.store.release(ctx, grant{
		grantRef: l.ref, owner: l.owner, token: l.token, contended: l.contended || c.lookout.waitsFor(l.ref.lock),
	})
}

func (c *Client) leave(ctx context.Context, ref grantRef, lease time.Duration) (departure, error) {
	ctx, cancel := context.WithTimeout(ctx, attemptTimeout(lease))
	defer cancel()
	return c.store.leave(ctx, ref)
}

// abandon takes out in the background what an acquisition, or a release without an answer, may have left: a grant or a place in the queue.
// If it is uncertain, a request of the acquisition may still be on its way to the server, so one answer is not believed: it goes on until the
// server has stopped working on what was sent in time. The caller is a task of the client.
func (c *Client) abandon(ctx context.Context, ref grantRef, lease time.Duration, uncertain bool) {
	quiet := c.now()
	if uncertain {
		quiet += lateSend(lease)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), min(lease, maxAcquire))
	stop := context.AfterFunc(c.ctx, cancel) //nolint:contextcheck // the client's own life bounds it too
	c.tasks.Go(func() {
		defer stop()
		defer cancel()
		for wait := attemptTimeout(lease) / 8; ; wait *= 2 {
			gone, err := c.leave(ctx, ref, lease)
			if err != nil && !isTransient(err) {
				c.log.Info("Abandoned acquisition is left to expire", "lock", ref.lock, "reason", err.Error())
				return
			}
			if gone.changed() {
				c.changed(ref.lock, gone.to)
			}
			left := quiet - c.now()
			if err == nil && left <= 0 || pause(ctx, max(min(wait, left), time.Millisecond)) != nil {
				return
			}
		}
	})
}

// lateSend is for how long after a send that was given up the server may still carry it out.
func lateSend(lease time.Duration) time.Duration { return attemptTimeout(lease) + 100*time.Millisecond }
