/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package mongolock

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"time"
)

const (
	// maxAttempt bounds one command. The driver retries within a context's deadline without limit and a dead connection may not be
	// noticed for tens of seconds, so one long context could be eaten whole by one connection.
	maxAttempt = 5 * time.Second
	// maxAcquire bounds the attempts of one acquisition.
	maxAcquire = 10 * time.Second
	// cleanupTimeout bounds releases that nobody's context bounds.
	cleanupTimeout = 5 * time.Second
)

// retryPause is the time between two sends of one acquisition or release.
func retryPause(lease time.Duration) time.Duration {
	return jitter(min(lease/100, 100*time.Millisecond))
}

// attemptTimeout is the time for one command about a lease: several must fit before the deadline.
func attemptTimeout(lease time.Duration) time.Duration { return min(lease/6, maxAttempt) }

// cleanupContext is for what must be done although ctx may have been cancelled: it ends at ctx's deadline, if that is still ahead,
// and after cleanupTimeout.
func cleanupContext(ctx context.Context) (context.Context, context.CancelFunc) {
	bound := cleanupTimeout
	if deadline, ok := ctx.Deadline(); ok && ctx.Err() == nil {
		bound = min(bound, time.Until(deadline))
	}
	return context.WithTimeout(context.WithoutCancel(ctx), bound)
}

// pause waits, or returns why ctx ended.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ended(ctx)
	}
}

// over tells whether ctx has ended or its deadline has passed: the driver may notice that before the context's timer has run.
func over(ctx context.Context) bool {
	deadline, ok := ctx.Deadline()
	return ctx.Err() != nil || ok && time.Until(deadline) <= 0
}

// ended is why ctx, which is over, ended: ErrClosed if the client was closed, otherwise the context's error.
func ended(ctx context.Context) error {
	if context.Cause(ctx) == ErrClosed { //nolint:errorlint // set by begin, never wrapped
		return ErrClosed
	}
	return cmp.Or(ctx.Err(), context.DeadlineExceeded)
}

// joinEnded adds why ctx ended to the error that it caused.
func joinEnded(ctx context.Context, err error) error { return fmt.Errorf("%w: %w", ended(ctx), err) }

// jitter is between a half and one and a half of d, so that those who failed together do not come back together.
func jitter(d time.Duration) time.Duration { return d/2 + rand.N(max(d, 1)) }
