/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package resourcelocktest

import (
	"context"
	"fmt"
	"time"
)

// slow is what a loaded machine may add to anything.
const slow = 2 * time.Second

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// within waits for a channel to be closed, and is an error if it is not in time.
func within(limit time.Duration, c <-chan struct{}, what string) error {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-c:
		return nil
	case <-timer.C:
		return fmt.Errorf("%s: not within %s", what, limit)
	}
}

// eventually waits for a condition that nothing announces.
func eventually(ctx context.Context, limit time.Duration, what string, condition func() (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		ok, err := condition()
		if err != nil || ok {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s: not within %s", what, limit)
		case <-tick.C:
		}
	}
}
