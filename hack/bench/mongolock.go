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

	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/mongolock/operator/pkg/mongolock"
)

// The names of the contenders.
const (
	floorName     = "floor"
	mongolockName = "mongolock"
	pushName      = "mongolock, push"
	dlockName     = "mongo-dlock"
	etcdName      = "etcd"
)

// closeTimeout bounds the end of a client.
const closeTimeout = 15 * time.Second

// dial makes a driver client; pool is how many connections it may have, 0 for the driver's default.
func dial(uri string, pool uint64) (*mongo.Client, error) {
	settings := options.Client().ApplyURI(uri)
	if pool > 0 {
		settings.SetMaxPoolSize(pool)
	}
	client, err := mongo.Connect(settings)
	if err != nil { // the driver's own text may quote the password
		return nil, errors.New("the connection string of MongoDB cannot be used: check MONGODB_URI")
	}
	return client, nil
}

// lockClient is a mongolock client with a driver client of its own.
type lockClient struct {
	*mongolock.Client
	driver *mongo.Client
}

func newLockClient(ctx context.Context, uri, database string, pool uint64, opts ...mongolock.Option) (*lockClient, error) {
	driver, err := dial(uri, pool)
	if err != nil {
		return nil, err
	}
	client, err := mongolock.New(ctx, driver.Database(database), opts...)
	if err != nil {
		return nil, errors.Join(err, disconnect(ctx, driver))
	}
	return &lockClient{Client: client, driver: driver}, nil
}

func (c *lockClient) close(ctx context.Context) error {
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
	defer cancel()
	return errors.Join(c.Close(closing), disconnect(closing, c.driver))
}

func disconnect(ctx context.Context, driver *mongo.Client) error {
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
	defer cancel()
	return driver.Disconnect(closing)
}

func (c *lockClient) cycleOnce(ctx context.Context, id string) error {
	lease, err := c.TryLock(ctx, id)
	if err != nil {
		return err
	}
	return lease.Unlock(ctx)
}

// wait is Lock as a function of the kind that hand-offs are made with.
func (c *lockClient) wait(ctx context.Context, id string) (unlock, error) {
	lease, err := c.Lock(ctx, id)
	if err != nil {
		return nil, err
	}
	return lease.Unlock, nil
}

// lockContender measures two clients, like two processes.
func lockContender(name string, holder, waiter *lockClient) contender {
	return contender{
		name: name,
		cycle: func(ctx context.Context, n int) (samples, error) {
			return timed(ctx, n, func() error { return holder.cycleOnce(ctx, "cycle") })
		},
		denied: func(ctx context.Context, n int) (samples, error) {
			lease, err := holder.TryLock(ctx, "denied")
			if err != nil {
				return nil, err
			}
			took, err := timed(ctx, n, func() error {
				_, err := waiter.TryLock(ctx, "denied")
				if err == nil {
					return errors.New("a lock was granted that is held")
				}
				if !errors.Is(err, mongolock.ErrHeld) {
					return err
				}
				return nil
			})
			return took, errors.Join(err, lease.Unlock(ctx))
		},
		handOff: func(ctx context.Context, holds []time.Duration) (samples, error) {
			return handOffs(ctx, holder.wait, waiter.wait, holds)
		},
		throughput: func(ctx context.Context, d time.Duration, workers int) (float64, error) {
			return perSecond(d, workers, func(i int) error { return holder.cycleOnce(ctx, fmt.Sprintf("throughput/%d", i)) })
		},
	}
}
