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
	"time"
)

// Lease is one grant of a lock. It is held until [Lease.Unlock], or until it is lost: when its deadline passes without a renewal,
// or when the server says that it is gone. All methods may be called at any time from any goroutine.
type Lease struct {
	client     *Client
	ref        grantRef
	owner      string
	token      int64
	acquiredAt time.Time
	lease      time.Duration
	margin     time.Duration
	autoRenew  bool
	lateUntil  time.Duration // until when a send of the acquisition that was given up may still be carried out; see attempt
	contended  bool          // see grant
	sent       time.Duration // before the first send of the acquisition
	done       chan struct{}

	// Invariants: err is set once, when the lease ends, and done is closed with it; deadline only grows, and only while err is nil
	// and the deadline has not passed, so that a lost lease stays lost.
	mu       sync.Mutex
	err      error
	deadline time.Duration // by the client's clock
	timer    *time.Timer   // ends the lease at the deadline, whatever the renewals are waiting for
	cancels  map[int]context.CancelCauseFunc
	scopes   int // number of contexts made so far

	// due and index belong to the renewer.
	due   time.Duration
	index int
}

// newLease starts the local life of a grant that lasts for another remaining by the server's answer. It counts from before the first
// send: the server stamped the grant later than that, so the lease ends there after it ends here.
func (c *Client) newLease(h holder, remaining time.Duration, try attempt) (*Lease, error) {
	settings := try.settings.granted(time.Duration(h.Lease) * time.Millisecond)
	l := &Lease{
		client: c, ref: try.ref, owner: h.Owner, token: h.Token, acquiredAt: h.AcquiredAt,
		lease: settings.lease, margin: settings.effectiveMargin(), autoRenew: settings.autoRenew,
		sent: try.sent,
		done: make(chan struct{}), cancels: map[int]context.CancelCauseFunc{}, index: -1,
	}
	if try.uncertain {
		l.lateUntil = c.now() + lateSend(l.lease)
	}
	// The grant may be older than the answer to the first send: one that was given up can have arrived in between and have made it.
	// How long it lasts yet, the server says.
	l.deadline = min(l.sent+l.lease, try.asked+remaining) - l.margin
	left := l.deadline - c.now()
	if left <= 0 {
		return nil, fmt.Errorf("%w: lock %q: the grant arrived after its deadline", ErrOutcomeUnknown, l.ref.lock)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.timer = time.AfterFunc(left, l.onTimer)
	return l, nil
}

// ID is the lock's id.
func (l *Lease) ID() string { return l.ref.lock }

// Owner is the name given by [WithOwner].
func (l *Lease) Owner() string { return l.owner }

// Token is the fencing token: larger than that of every earlier grant of this lock. Hand it to the resource with each request, and
// let the resource refuse a request whose token is smaller than the largest it has seen. That is for exclusive holders. Those with [Shared]
// hold the lock together, and the one with the smaller token is no less live: of theirs a resource can only refuse a token that is smaller
// than the largest it has seen of an exclusive holder.
func (l *Lease) Token() int64 { return l.token }

// AcquiredAt is the server's time of the grant.
func (l *Lease) AcquiredAt() time.Time { return l.acquiredAt }

// Done is closed when the lease ends, by release or by loss; [Lease.Err] tells which. It is closed in time even if the server hangs.
func (l *Lease) Done() <-chan struct{} { return l.done }

// Err is nil while the lease is held. Afterwards it matches [ErrLeaseLost], or [ErrNotHeld] if the lease was released. It looks at
// the clock, so on Linux it is right at once after a suspension, when Done may lag for up to a second.
func (l *Lease) Err() error {
	l.expireIfDue()
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}

// Deadline is until when the lease is held if it is not renewed again. It moves with each renewal, means nothing once the lease has
// ended, and is comparable with [time.Now] in this process only.
func (l *Lease) Deadline() time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	return time.Now().Add(l.deadline - l.client.now())
}

// Context returns a context that is cancelled when the lease ends, with [Lease.Err] as its cause, or when parent is done. It is kept
// until then.
func (l *Lease) Context(parent context.Context) context.Context {
	ctx, _ := l.scope(parent)
	return ctx
}

// scope is Context with a function that ends it early.
func (l *Lease) scope(parent context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(parent)
	stop := func() { cancel(nil) }
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err != nil {
		cancel(l.err)
		return ctx, stop
	}
	id := l.scopes
	l.scopes++
	l.cancels[id] = cancel
	context.AfterFunc(ctx, func() { // forget it when it is done before the lease
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.cancels, id)
	})
	return ctx, stop
}

// Renew extends the lease now, to its full duration from now. It returns nil, [ErrLeaseLost] if the lease has ended, [ErrNotHeld]
// if it was released, or, with the lease still held until its deadline, [ErrUnreachable] or another error of the server. It waits
// no longer than until that deadline. A lease that renews itself does not need it.
func (l *Lease) Renew(ctx context.Context) error {
	if err := l.Err(); err != nil {
		return err
	}
	ctx, cancel := l.scope(ctx) // the end of the lease also ends a renewal in flight
	defer cancel()
	for {
		sent := l.client.now()
		fates, err := l.client.renewAttempt(ctx, []*Lease{l})
		if err == nil {
			l.settle(fates[0], sent)
			if fates[0] != fateUnsure {
				return l.Err()
			}
		}
		if err == nil || isTransient(err) {
			_ = pause(ctx, jitter(l.retryDelay()))
		}
		switch {
		case l.Err() != nil: // also the reason why ctx is over
			return l.Err()
		case ctx.Err() != nil:
			return errors.Join(ctx.Err(), err)
		case err != nil && !isTransient(err):
			return err
		}
	}
}

// Unlock gives the lock back. The lease ends locally whatever the server answers, and a renewal in flight cannot bring it back. nil
// means that the server has released it; [ErrNotHeld] that it was lost or released before; [ErrClosed] that the client was closed, and that
// Close has released it or has told why not, unless the error matches [ErrLeaseLost] too: then it was lost, or left to expire by
// [WithoutRelease]; [ErrOutcomeUnknown] that the server did not answer in time: the release is tried again in the background for up to ten
// seconds, and otherwise the lock stands until its lease ends. A cancelled ctx does not stop the release, so that a deferred Unlock works;
// for the caller its deadline does, and so do five seconds.
func (l *Lease) Unlock(ctx context.Context) error {
	held := l.end(fmt.Errorf("%w: lock %q: released", ErrNotHeld, l.ref.lock))
	if !l.client.enter() {
		return fmt.Errorf("%w: %w", ErrClosed, l.Err()) // the lease has ended, if not before then with Close
	}
	defer l.client.tasks.Done()
	ctx, cancel := cleanupContext(ctx)
	defer cancel()
	if held {
		err := l.client.release(ctx, l)
		if errors.Is(err, ErrOutcomeUnknown) { // the caller's time is over, that of others who want the lock is not
			l.client.abandon(ctx, l.ref, l.lease, false)
		}
		return err
	}
	err := l.Err()
	if errors.Is(err, ErrNotHeld) {
		return err
	}
	// Lost, but the record may stand for the margin's length: free it for those who wait. Only our own id can be hit.
	if gone, err := l.client.leave(ctx, l.ref, l.lease); err == nil && gone.changed() {
		l.client.changed(l.ref.lock, gone.to)
	}
	if l.client.now() < l.lateUntil {
		l.client.abandon(ctx, l.ref, l.lease, true)
	}
	return fmt.Errorf("%w: %w", ErrNotHeld, err)
}

// settle applies what a renewal, sent at that time, told of this lease.
func (l *Lease) settle(f fate, sent time.Duration) {
	switch f {
	case fateRenewed:
		l.extend(sent + l.lease - l.margin)
	case fateGone:
		l.end(lost(l.ref.lock, "the server no longer has this grant: it expired, was evicted, or the document was deleted"))
	case fateUnsure:
	}
}

// extend moves the deadline, unless it has passed: then the holder may have been told.
func (l *Lease) extend(deadline time.Duration) {
	l.mu.Lock()
	now := l.client.now()
	if l.err == nil && now < l.deadline && l.deadline < deadline {
		l.deadline = deadline
		l.timer.Reset(deadline - now)
	}
	l.mu.Unlock()
	l.expireIfDue()
}

// expireIfDue ends the lease if its deadline has passed, and returns what is left of it. Everybody who is about to rely on the lease
// calls it.
func (l *Lease) expireIfDue() time.Duration {
	left := l.remaining()
	if left <= 0 {
		l.end(lost(l.ref.lock, "its deadline passed without a renewal"))
	}
	return left
}

// onTimer runs at the deadline that the timer was set to; a renewal may have moved it meanwhile.
func (l *Lease) onTimer() {
	left := l.expireIfDue()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err == nil {
		l.timer.Reset(left)
	}
}

// end makes the lease over, for the first reason given; false if it was over.
func (l *Lease) end(reason error) bool {
	l.mu.Lock()
	if l.err != nil {
		l.mu.Unlock()
		return false
	}
	l.err = reason
	l.timer.Stop()
	cancels := l.cancels
	l.cancels = nil
	close(l.done)
	l.mu.Unlock()
	for _, cancel := range cancels {
		cancel(reason)
	}
	l.client.forget(l, reason)
	return true
}

// nextRenewal is when to renew after a request sent at that time: early enough for several tries before the deadline.
func (l *Lease) nextRenewal(sent time.Duration) time.Duration {
	return sent + min(l.lease/3, (l.lease-l.margin)/2)
}

// remaining is how long the lease is still held without a renewal.
func (l *Lease) remaining() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.deadline - l.client.now()
}

// retryDelay is the pause after a renewal without an answer: short against what is left of the lease.
func (l *Lease) retryDelay() time.Duration { return min(l.lease/20, maxAttempt) }
