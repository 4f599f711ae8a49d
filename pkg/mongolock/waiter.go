/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package mongolock

import (
	"context"
	"time"
)

// wait is one waiter's place in the queue of a lock. Its lookout's mutex guards all but ref and wake.
type wait struct {
	ref  grantRef
	wake chan struct{} // it is time to ask the server

	place     int           // how many were before it in the queue
	since     time.Duration // when it came to that place
	grants    int64         // of the lock, then
	changedAt time.Time     // of the lock when it was last asked about
	held      bool          // somebody held it then
	ends      time.Duration // when the first of the holders' leases ends, by the client's clock, unless it is renewed
	next      time.Duration // when to look
	news      int           // how often it was told to look
}

// pause waits until the waiter is woken, or for at most d, or returns why ctx ended.
func (w *wait) pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-w.wake:
		return nil
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ended(ctx)
	}
}
