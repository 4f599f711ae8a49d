//go:build linux

/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/mongolock/operator/hack/servers"
	"github.com/mongolock/operator/pkg/mongolock"
)

// addPush measures clients that tell each other of changes through a feed store, which the server of the locks need not be. What is
// refused and how much goes through does not depend on that; a release that somebody waits for may.
func (b *bench) addPush(ctx context.Context) error {
	server, err := servers.StartFeed(ctx)
	if err != nil {
		return err
	}
	b.onStop(server.Stop)
	// FerretDB 1 does not cap what it calls capped, and a waiting cursor reads all of it again and again: each turn has a new feed.
	turn := 0
	connect := func() (*lockClient, error) {
		feed := fmt.Sprintf("feed_%d", turn)
		return newLockClient(ctx, b.uri, b.database, 0,
			mongolock.WithCollection("pushed"), mongolock.WithFeed(server.Address(), b.database, feed))
	}
	pair := func(measure func(contender) (samples, error)) (samples, error) {
		turn++
		holder, err := connect()
		if err != nil {
			return nil, err
		}
		waiter, err := connect()
		if err != nil {
			return nil, errors.Join(err, holder.close(ctx))
		}
		took, err := measure(lockContender(pushName, holder, waiter))
		return took, errors.Join(err, waiter.close(ctx), holder.close(ctx))
	}
	b.contenders = append(b.contenders, contender{
		name: pushName,
		cycle: func(ctx context.Context, n int) (samples, error) {
			return pair(func(c contender) (samples, error) { return c.cycle(ctx, n) })
		},
		handOff: func(ctx context.Context, holds []time.Duration) (samples, error) {
			return pair(func(c contender) (samples, error) { return c.handOff(ctx, holds) })
		},
	})
	return nil
}
