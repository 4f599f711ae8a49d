/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package mongolock

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"
)

// Policy is what is decided about a lock by whoever administers it; it binds every client. The zero value is the policy of a lock
// that nobody decided about: one holder, not suspended, no limit to the lease, purged when unused.
type Policy struct {
	// Capacity is how many holders with [Shared] the lock has at most, 1 to [MaxCapacity]; 0 means 1. An exclusive holder always has
	// the lock alone. Lowering it below the number of holders takes nothing away; it only stops new grants.
	Capacity int
	// Suspended stops new grants: TryLock is refused and Lock waits. It takes nothing away and does not stop renewals; see
	// [Client.Evict].
	Suspended bool
	// MaxLease is the longest lease that is granted, 1 s to 24 h in whole milliseconds; 0 means no limit. Who asks for more is granted
	// this much. It concerns new grants only.
	MaxLease time.Duration
	// Retain keeps the lock's document, with its token and its last events, however long the lock is unused. Of a lock whose policy is
	// anything but the zero value it is always true: a limit that is purged would be none.
	Retain bool
}

// SetPolicy replaces the policy of a lock, whether it was ever acquired or not: all of it, so to change one field read it with [Client.Get]
// first. Waiters that fit now are granted the lock at once.
// It may return [ErrInvalid], [ErrClosed], [ErrForeignDocument], [ErrUnauthorized], [ErrUnreachable], or [ErrOutcomeUnknown] when the
// server did not answer; setting a policy again does no harm.
func (c *Client) SetPolicy(ctx context.Context, id string, p Policy) error {
	if err := validateID(id); err != nil {
		return err
	}
	if err := p.validate(); err != nil {
		return err
	}
	return c.administer(ctx, func(ctx context.Context, _ bool) error {
		doc, err := c.store.setPolicy(ctx, id, p.stored())
		if err != nil {
			return err
		}
		c.changed(id, doc.handedTo())
		return nil
	})
}

// Evict takes a lock away from the holder with this token, for the reason given, at most [MaxReasonBytes], which the lock's event
// tells. The next waiter is granted the lock at once. The evicted holder is told by its next renewal, at the latest after a third of
// its lease, or without [WithAutoRenew] when it calls [Lease.Renew] or its lease ends, and may work until then: the resource has to compare
// tokens, as always. One to whom the lock was only just handed over, and who has not noticed yet, waits again, at the end of the queue.
//
// It may return [ErrNotHeld] when no live holder has the token, [ErrOutcomeUnknown] when the server did not answer, or when none has the
// token any more, a reply was lost, and so much has happened to the lock since that its events no longer tell whether that was this eviction,
// [ErrInvalid], [ErrClosed], [ErrForeignDocument], [ErrUnauthorized] or [ErrUnreachable].
func (c *Client) Evict(ctx context.Context, id string, token int64, reason string) error {
	switch err := validateID(id); {
	case err != nil:
		return err
	case token <= 0:
		return invalid("token is %d; it must be that of a holder, which is positive", token)
	case len(reason) > MaxReasonBytes || !utf8.ValidString(reason):
		return invalid("reason has %d bytes; it must be UTF-8 of at most %d", len(reason), MaxReasonBytes)
	}
	return c.administer(ctx, func(ctx context.Context, repeated bool) error {
		gone, err := c.store.evict(ctx, id, token, reason)
		if err != nil {
			return err
		}
		if gone.changed() {
			c.changed(id, gone.to)
		}
		switch {
		case gone.how == exitDone || gone.how == exitUnknown: // it held the lock until now, or until a moment ago
			return nil
		case gone.how == exitNone && repeated:
			return c.evictedBefore(ctx, id, token)
		}
		return notHeldBy(id, token)
	})
}

func notHeldBy(id string, token int64) error {
	return fmt.Errorf("%w: lock %q has no live holder with token %d", ErrNotHeld, id, token)
}

// evictedBefore tells whether an earlier send, whose reply was lost, made the eviction: then the document has its event.
func (c *Client) evictedBefore(ctx context.Context, id string, token int64) error {
	docs, err := c.store.find(ctx, query{ids: []string{id}})
	if err != nil {
		return err
	}
	how := exitLate
	if len(docs) > 0 {
		how = docs[0].exit(EventEvicted, token)
	}
	switch how {
	case exitDone:
		return nil
	case exitUnknown:
		return fmt.Errorf("%w: eviction from lock %q: nobody holds token %d any more, but its event has been overwritten", ErrOutcomeUnknown, id, token)
	}
	return notHeldBy(id, token)
}

// administer runs one command that may be repeated without harm; a failed one is, once.
func (c *Client) administer(ctx context.Context, command func(ctx context.Context, repeated bool) error) error {
	ctx, finish, err := c.begin(ctx)
	if err != nil {
		return err
	}
	defer finish()
	if err := c.ready(ctx); err != nil {
		return err
	}
	attempt := func(repeated bool) error {
		ctx, cancel := context.WithTimeout(ctx, maxAttempt)
		defer cancel()
		return command(ctx, repeated)
	}
	err = attempt(false)
	uncertain := mayHaveApplied(err)
	if err != nil && isTransient(err) && !over(ctx) {
		err = attempt(true)
		uncertain = uncertain || mayHaveApplied(err)
	}
	if err == nil || errors.Is(err, ErrNotHeld) { // which is an answer
		return err
	}
	if over(ctx) {
		err = joinEnded(ctx, err)
	}
	if uncertain && !errors.Is(err, ErrOutcomeUnknown) {
		err = unknown(err)
	}
	return err
}

func (p Policy) validate() error {
	switch {
	case p.Capacity < 0 || p.Capacity > MaxCapacity:
		return invalid("capacity is %d; it must be 1 to %d, or 0 for 1", p.Capacity, MaxCapacity)
	case p.MaxLease != 0 && (p.MaxLease < MinLease || p.MaxLease > MaxLease || p.MaxLease%time.Millisecond != 0):
		return invalid("longest lease is %s; it must be %s to %s in whole milliseconds, or 0 for no limit", p.MaxLease, MinLease, MaxLease)
	}
	return nil
}

// stored is the policy without shorthands, as a document has it.
func (p Policy) stored() policy {
	capacity := int32(cmp.Or(p.Capacity, 1)) //nolint:gosec // validated: at most MaxCapacity
	s := policy{Capacity: capacity, Suspended: p.Suspended, MaxLease: cmp.Or(p.MaxLease, MaxLease).Milliseconds()}
	s.Retain = p.Retain || s != policy{Capacity: 1, MaxLease: MaxLease.Milliseconds()}
	return s
}

func (s policy) public() Policy {
	p := Policy{Capacity: int(s.Capacity), Suspended: s.Suspended, Retain: s.Retain}
	if s.MaxLease < MaxLease.Milliseconds() {
		p.MaxLease = time.Duration(s.MaxLease) * time.Millisecond
	}
	return p
}
