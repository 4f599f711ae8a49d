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
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"
	"go.uber.org/zap"

	"github.com/mongolock/operator/hack/servers"
	"github.com/mongolock/operator/hack/task"
)

// etcdStart bounds the start of etcd.
const etcdStart = 30 * time.Second

// startEtcd starts an etcd with a folder of its own, as durable as it is by default, and returns its address.
func startEtcd(ctx context.Context) (address string, stop func() error, err error) {
	kubectl, err := servers.Kubectl()
	if err != nil {
		return "", nil, err
	}
	dir, err := os.MkdirTemp("", "mongolock-bench-etcd-")
	if err != nil {
		return "", nil, err
	}
	remove := func() error { return os.RemoveAll(dir) }
	clients, errClients := freeAddress()
	peers, errPeers := freeAddress()
	if err := errors.Join(errClients, errPeers); err != nil {
		return "", nil, errors.Join(err, remove())
	}
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		return "", nil, errors.Join(err, remove())
	}
	defer log.Close() //nolint:errcheck // etcd has its own handle
	cmd := exec.Command(filepath.Join(filepath.Dir(kubectl), "etcd"), "--name=bench", "--data-dir="+filepath.Join(dir, "data"),
		"--listen-client-urls="+clients, "--advertise-client-urls="+clients,
		"--listen-peer-urls="+peers, "--initial-advertise-peer-urls="+peers, "--initial-cluster=bench="+peers)
	cmd.Stdout, cmd.Stderr = log, log
	server, err := start("etcd", cmd)
	if err != nil {
		return "", nil, errors.Join(err, remove())
	}
	stop = func() error { return errors.Join(server.stop(), remove()) }
	if err := awaitEtcd(ctx, server, clients); err != nil {
		text, _ := os.ReadFile(log.Name())
		return "", nil, errors.Join(fmt.Errorf("start etcd: %w; the end of its log: %s", err, text[max(0, len(text)-1000):]), stop())
	}
	return clients, stop, nil
}

// freeAddress returns the URL of a loopback port that was free a moment ago.
func freeAddress() (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return "http://" + listener.Addr().String(), listener.Close()
}

func awaitEtcd(ctx context.Context, server *process, address string) error {
	ctx, cancel := context.WithTimeout(ctx, etcdStart)
	defer cancel()
	client, err := dialEtcd(address)
	if err != nil {
		return err
	}
	defer client.Close() //nolint:errcheck // of no further use
	for {
		asking, cancel := context.WithTimeout(ctx, time.Second)
		_, err := client.Get(asking, "ready")
		cancel()
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return errors.Join(context.Cause(ctx), err)
		case !server.Alive():
			return errors.New("it ended by itself")
		}
		task.Wait(ctx, 50*time.Millisecond)
	}
}

func dialEtcd(address string) (*clientv3.Client, error) {
	return clientv3.New(clientv3.Config{Endpoints: []string{address}, DialTimeout: etcdStart, Logger: zap.NewNop()})
}

// etcdClient is a client with a session, which all its locks share.
type etcdClient struct {
	client  *clientv3.Client
	session *concurrency.Session
}

func newEtcdClient(ctx context.Context, address string) (*etcdClient, error) {
	client, err := dialEtcd(address)
	if err != nil {
		return nil, err
	}
	// The session lives until it is closed, not as long as the start.
	session, err := concurrency.NewSession(client, concurrency.WithTTL(15), concurrency.WithContext(context.WithoutCancel(ctx)))
	if err != nil {
		return nil, errors.Join(err, client.Close())
	}
	return &etcdClient{client: client, session: session}, nil
}

func (c *etcdClient) close() error { return errors.Join(c.session.Close(), c.client.Close()) }

func (c *etcdClient) mutex(id string) *concurrency.Mutex {
	return concurrency.NewMutex(c.session, "/mongolock-bench/"+id)
}

func (c *etcdClient) lock(ctx context.Context, id string) (unlock, error) {
	mutex := c.mutex(id)
	if err := mutex.Lock(ctx); err != nil {
		return nil, err
	}
	return mutex.Unlock, nil
}

func (c *etcdClient) cycleOnce(ctx context.Context, id string) error {
	unlock, err := c.lock(ctx, id)
	if err != nil {
		return err
	}
	return unlock(ctx)
}

func etcdContender(holder, waiter *etcdClient) contender {
	return contender{
		name: etcdName,
		cycle: func(ctx context.Context, n int) (samples, error) {
			return timed(ctx, n, func() error { return holder.cycleOnce(ctx, "cycle") })
		},
		denied: func(ctx context.Context, n int) (samples, error) {
			release, err := holder.lock(ctx, "denied")
			if err != nil {
				return nil, err
			}
			took, err := timed(ctx, n, func() error {
				err := waiter.mutex("denied").TryLock(ctx)
				if err == nil {
					return errors.New("a lock was granted that is held")
				}
				if !errors.Is(err, concurrency.ErrLocked) {
					return err
				}
				return nil
			})
			return took, errors.Join(err, release(ctx))
		},
		handOff: func(ctx context.Context, holds []time.Duration) (samples, error) {
			return handOffs(ctx, holder.lock, waiter.lock, holds)
		},
		throughput: func(ctx context.Context, d time.Duration, workers int) (float64, error) {
			return perSecond(d, workers, func(i int) error { return holder.cycleOnce(ctx, fmt.Sprintf("throughput/%d", i)) })
		},
	}
}
