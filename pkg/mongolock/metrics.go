/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package mongolock

import (
	"errors"
	"time"
)

// Metrics is told what a client does; see [WithMetrics]. Its methods are called where it happens: they must be fast, must not call the
// client, and may be called from any goroutine at once. id is the lock's; with many locks it makes a poor label.
type Metrics interface {
	// Acquired is told of each end of a TryLock or Lock that was not invalid: how it ended and how long the call took.
	Acquired(id string, outcome Outcome, took time.Duration)
	// Waited is told how long a Lock that found the lock taken had to wait, whether or not it was granted the lock in the end.
	Waited(id string, took time.Duration)
	// Held is told of each end of a lease: how long it was held, and whether it was lost rather than given back.
	Held(id string, took time.Duration, lost bool)
	// Renewed is told of each command that renewed leases: how many, how long it took, and whether it failed.
	Renewed(leases int, took time.Duration, failed bool)
	// Waiting is told by how much the number of calls of Lock changed that wait, in this client.
	Waiting(delta int)
	// FeedLag is told, for each change that the feed saw, how long before, by the server's clock, it had happened. When a waiter died is not
	// known.
	FeedLag(lag time.Duration)
}

// Outcome is how an acquisition ended.
type Outcome string

// The outcomes of an acquisition.
const (
	// OutcomeGranted: the lock was acquired.
	OutcomeGranted Outcome = "granted"
	// OutcomeRefused: it was held, waited for by others, or suspended, at once or until the context ended.
	OutcomeRefused Outcome = "refused"
	// OutcomeFailed: the server could not be asked, or the outcome is unknown.
	OutcomeFailed Outcome = "failed"
)

func outcomeOf(err error) Outcome {
	switch {
	case err == nil:
		return OutcomeGranted
	case errors.Is(err, ErrHeld):
		return OutcomeRefused
	}
	return OutcomeFailed
}

// NopMetrics is told and tells nobody. Embed it to implement only some methods of [Metrics].
type NopMetrics struct{}

// Acquired does nothing.
func (NopMetrics) Acquired(string, Outcome, time.Duration) {}

// Waited does nothing.
func (NopMetrics) Waited(string, time.Duration) {}

// Held does nothing.
func (NopMetrics) Held(string, time.Duration, bool) {}

// Renewed does nothing.
func (NopMetrics) Renewed(int, time.Duration, bool) {}

// Waiting does nothing.
func (NopMetrics) Waiting(int) {}

// FeedLag does nothing.
func (NopMetrics) FeedLag(time.Duration) {}

// measureWait tells that a call of Lock has to wait, and returns the function that tells of the end of it.
func (c *Client) measureWait(id string) func() {
	began := c.now()
	c.settings.metrics.Waiting(1)
	return func() {
		c.settings.metrics.Waiting(-1)
		c.settings.metrics.Waited(id, c.now()-began)
	}
}
