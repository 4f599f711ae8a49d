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
	"time"
)

// purgeLock is the lock whose holder purges. It is left to expire, so that it is done once in a lease, whoever does it.
const purgeLock = scratchPrefix + "purge"

const (
	minPurgePeriod = time.Minute
	// firstPurge is when a client comes to it first: not before it is clear that it is not gone in a moment.
	firstPurge = 10 * time.Second
)

// purgeStrays deletes the documents of locks that nobody uses, on servers where a TTL index would make every acquire and release dearer
// by a fourth; see ensureIndexes. It runs until ctx is done.
func (c *Client) purgeStrays(ctx context.Context) {
	grace := cmp.Or(c.settings.grace, DefaultGrace)
	for wait := firstPurge; pause(ctx, jitter(wait)) == nil; wait = purgePeriod(grace) {
		if err := c.purgeOnce(ctx, grace); err != nil && ctx.Err() == nil {
			c.log.V(1).Info("Purge of unused locks failed, trying again later", "reason", err.Error())
		}
	}
}

// purgePeriod is the time from one purge to the next. It is a lease as well: a document with one longer than MaxLease reads as foreign.
func purgePeriod(grace time.Duration) time.Duration {
	return min(max(grace/4, minPurgePeriod), MaxLease)
}

func (c *Client) purgeOnce(ctx context.Context, grace time.Duration) error {
	period := purgePeriod(grace)
	ctx, cancel := context.WithTimeout(ctx, period)
	defer cancel()
	settings := c.settings.lock
	settings.lease, settings.shared, settings.barge = period.Truncate(time.Millisecond), false, false
	a := newAcquisition(purgeLock, settings)
	turn, err := c.send(ctx, c.store.acquire, a, maxAttempt)
	if err != nil {
		return err
	}
	if _, ours := turn.grant(a.holderID); !ours {
		return nil // another client's turn
	}
	_, swept := c.store.sweep(ctx, time.Time{}, turn.Now) // strays have a holder yet
	purged, err := c.store.purge(ctx, turn.Now.Add(-grace))
	if purged > 0 {
		c.log.V(1).Info("Purged unused locks", "locks", purged)
	}
	return errors.Join(swept, err)
}
