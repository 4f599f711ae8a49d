//go:build linux

/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package main

import (
	"context"
	"fmt"

	"github.com/mongolock/operator/hack/bench/gauge"
	"github.com/mongolock/operator/hack/servers"
)

// setUp starts the servers and connects all contenders.
func (b *bench) setUp(ctx context.Context) error {
	if err := b.makeFolders(); err != nil {
		return err
	}
	dir, err := installNode(ctx, b.screen, b.plan.out)
	if err != nil {
		return err
	}
	b.screen.Say("Starting MongoDB, a feed store and etcd")
	defer b.screen.During(ctx, "starting servers and clients")()
	if err := b.startMongoDB(ctx); err != nil {
		return err
	}
	for _, connect := range []func(context.Context) error{
		b.addFloor, b.addMongolock, b.addPush, func(ctx context.Context) error { return b.addDLock(ctx, dir) }, b.addEtcd,
	} {
		if err := connect(ctx); err != nil {
			return err
		}
	}
	product, err := gauge.Product(ctx, b.driver)
	if err != nil {
		return err
	}
	b.screen.Say("Everything runs on %s", product)
	return nil
}

func (b *bench) startMongoDB(ctx context.Context) error {
	server, err := servers.StartMongoDB(ctx)
	if err != nil {
		return err
	}
	b.onStop(server.Stop)
	b.uri, b.database = server.Address(), newDatabaseName()
	if b.driver, err = dial(b.uri, 0); err != nil {
		return err
	}
	b.onStop(func() error {
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
		defer cancel()
		if err := b.driver.Database(b.database).Drop(closing); err != nil {
			return fmt.Errorf("drop the database %s: %w", b.database, err)
		}
		return b.driver.Disconnect(closing)
	})
	return nil
}

func (b *bench) addFloor(ctx context.Context) error {
	driver, err := dial(b.uri, 0)
	if err != nil {
		return err
	}
	b.onStop(func() error { return disconnect(ctx, driver) })
	f, err := newFloor(ctx, driver.Database(b.database), b.plan.goroutines)
	if err != nil {
		return err
	}
	b.contenders = append(b.contenders, f.contender())
	return nil
}

func (b *bench) addMongolock(ctx context.Context) error {
	var clients [2]*lockClient
	for i := range clients {
		client, err := newLockClient(ctx, b.uri, b.database, 0)
		if err != nil {
			return err
		}
		b.onStop(func() error { return client.close(ctx) })
		clients[i] = client
	}
	b.contenders = append(b.contenders, lockContender(mongolockName, clients[0], clients[1]))
	return nil
}

func (b *bench) addDLock(ctx context.Context, dir string) error {
	worker, err := startNode(dir)
	if err != nil {
		return err
	}
	b.onStop(worker.stop)
	if b.versions, err = worker.connect(ctx, b.uri, b.database); err != nil {
		return fmt.Errorf("connect mongo-dlock: %w", err)
	}
	b.contenders = append(b.contenders, dlockContender(worker))
	return nil
}

func (b *bench) addEtcd(ctx context.Context) error {
	address, stop, err := startEtcd(ctx)
	if err != nil {
		return err
	}
	b.onStop(stop)
	var clients [2]*etcdClient
	for i := range clients {
		client, err := newEtcdClient(ctx, address)
		if err != nil {
			return err
		}
		b.onStop(client.close)
		clients[i] = client
	}
	b.contenders = append(b.contenders, etcdContender(clients[0], clients[1]))
	return nil
}
