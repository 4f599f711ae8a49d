//go:build linux

/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package main

import (
	"context"

	"github.com/mongolock/operator/hack/servers"
	"github.com/mongolock/operator/pkg/mongolock"
)

// addPush connects clients that tell each other of changes through a feed store, which the server of the locks need not be. What is
// refused and how much goes through does not depend on that; a release that somebody waits for may.
func (b *bench) addPush(ctx context.Context) error {
	server, err := servers.StartFeed(ctx)
	if err != nil {
		return err
	}
	b.onStop(server.Stop)
	var clients [2]*lockClient
	for i := range clients {
		// A collection of its own: all clients of one must have the same feed.
		client, err := newLockClient(ctx, b.uri, b.database, 0,
			mongolock.WithCollection("pushed"), mongolock.WithFeed(server.Address(), b.database, ""))
		if err != nil {
			return err
		}
		b.onStop(func() error { return client.close(ctx) })
		clients[i] = client
	}
	c := lockContender(pushName, clients[0], clients[1])
	c.denied, c.throughput = nil, nil
	b.contenders = append(b.contenders, c)
	return nil
}
