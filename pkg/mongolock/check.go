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

// checkTimeout bounds one test of the server.
const checkTimeout = 10 * time.Second

// checkResult is a test of the server in progress, and its outcome once done is closed.
type checkResult struct {
	done chan struct{}
	err  error
}

// errNotChecked is returned to those who stopped waiting for the test.
var errNotChecked = &storeError{
	operation: "test the server", kind: ErrUnreachable, retry: true,
	detail: "it did not answer in time; check that MongoDB runs and that the hosts of the connection string are right",
}

// ready makes sure that the server was tested, once for the client's life. All who need it meanwhile wait for one test and share its
// outcome; a failed one is made again for the next who comes.
func (c *Client) ready(ctx context.Context) error {
	if c.checked.Load() {
		return nil
	}
	result := c.startCheck() //nolint:contextcheck // the test is not for this caller alone, and goes on when it gives up
	if result == nil {
		return nil
	}
	select {
	case <-result.done:
		switch {
		case result.err == nil:
			return nil
		case c.closing.Err() != nil:
			return ErrClosed
		case ctx.Err() != nil:
			return joinEnded(ctx, result.err)
		}
		return result.err
	case <-ctx.Done():
		return joinEnded(ctx, errNotChecked)
	}
}

// startCheck joins the test in progress or starts one; nil if one has passed meanwhile. The caller is a task of the client.
func (c *Client) startCheck() *checkResult {
	c.checkMu.Lock()
	defer c.checkMu.Unlock()
	if c.checkDone != nil {
		return c.checkDone
	}
	if c.checked.Load() {
		return nil
	}
	result := &checkResult{done: make(chan struct{})}
	c.checkDone = result
	c.tasks.Go(func() {
		ctx, cancel := context.WithTimeout(c.closing, checkTimeout)
		defer cancel()
		result.err = c.check(ctx)
		c.checkMu.Lock()
		c.checkDone = nil
		c.checked.Store(result.err == nil)
		c.checkMu.Unlock()
		close(result.done)
	})
	return result
}
