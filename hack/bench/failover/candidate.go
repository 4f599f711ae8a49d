//go:build linux

/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/leaderelection"
	rl "k8s.io/client-go/tools/leaderelection/resourcelock"
	"k8s.io/klog/v2"

	"github.com/mongolock/operator/hack/bench/gauge"
	"github.com/mongolock/operator/pkg/mongolock"
	"github.com/mongolock/operator/pkg/resourcelock"
)

// candidateFlag is the flag with which this program is a candidate.
const candidateFlag = "candidate"

// The locks that are raced.
const (
	lease        = "lease"
	mongoStrict  = "mongo-strict"
	mongoFast    = "mongo-fast"
	mongoPush    = "mongo-fast-longpoll"
	mongoPolling = "mongo-fast-longpoll, no feed"
)

var contenders = []string{lease, mongoStrict, mongoFast, mongoPush, mongoPolling}

// tick is the time between two writes of a leader's work.
const tick = 10 * time.Millisecond

// Orders are what a candidate needs to know.
type Orders struct {
	Lock, Identity, Election string
	Timings                  Timings
	// Kubeconfig and Host are for a Lease; an empty Host is that of Kubeconfig. The rest is for MongoDB. Feed is a collection.
	Kubeconfig, Host, URI, FeedURI, Database, Feed string
}

// Timings are an elector's.
type Timings struct {
	Lease, Renew, Retry time.Duration
}

// requestTimeout is that of each call, by the rule that controller-runtime has for its own lock.
func (t Timings) requestTimeout() time.Duration { return max(time.Second, t.Renew/2) }

// now is the machine's monotonic clock, in nanoseconds.
var now = gauge.Now

// candidate is one process. It says what it does, a line for each: what, token, time.
type candidate struct {
	orders Orders
	lock   rl.Interface
	mongo  *resourcelock.Lock // nil for a Lease
	close  func(context.Context) error

	mu  sync.Mutex
	out io.Writer
}

// stand is the process: it stands for leadership until ctx ends or leadership is lost.
func stand(ctx context.Context, text string, out io.Writer) error {
	c := &candidate{out: out, close: func(context.Context) error { return nil }}
	if err := json.Unmarshal([]byte(text), &c.orders); err != nil {
		return fmt.Errorf("orders: %w", err)
	}
	connect := c.connectMongoDB
	if c.orders.Lock == lease {
		connect = c.connectKubernetes
	}
	if err := connect(ctx); err != nil {
		return err
	}
	t := c.orders.Timings
	elector, err := leaderelection.NewLeaderElector(leaderelection.LeaderElectionConfig{
		Lock: &looking{Interface: c.lock, by: c}, Name: c.orders.Election, ReleaseOnCancel: true,
		LeaseDuration: t.Lease, RenewDeadline: t.Renew, RetryPeriod: t.Retry,
		Callbacks: leaderelection.LeaderCallbacks{OnStartedLeading: c.work, OnStoppedLeading: func() {}},
	})
	if err != nil {
		return err
	}
	elector.Run(klog.NewContext(ctx, logr.Discard()))
	c.say("ended", 0)
	if ctx.Err() == nil {
		os.Exit(1) // leadership was lost: as a manager does
	}
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	return c.close(closing)
}

func (c *candidate) say(what string, token int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	fmt.Fprintln(c.out, what, token, now())
}

// work is the leader's work, which writes to something that compares tokens, if there are any. It stops when the elector or the lock says so.
func (c *candidate) work(ctx context.Context) {
	var lost <-chan struct{}
	token := int64(0)
	if c.mongo != nil {
		lost = c.mongo.Lost()
		token, _ = c.mongo.Token()
	}
	c.say("elected", token)
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-lost:
			return
		default:
		}
		c.say("tick", token)
		<-ticker.C
	}
}

// looking says when the lock was first asked.
type looking struct {
	rl.Interface
	by     *candidate
	looked atomic.Bool
}

// Get implements client-go's resourcelock.Interface.
func (l *looking) Get(ctx context.Context) (*rl.LeaderElectionRecord, []byte, error) {
	if !l.looked.Swap(true) {
		defer l.by.say("looked", 0)
	}
	return l.Interface.Get(ctx)
}

func (c *candidate) connectKubernetes(context.Context) error {
	config, err := clientcmd.BuildConfigFromFlags("", c.orders.Kubeconfig)
	if err != nil {
		return err
	}
	config.Timeout = c.orders.Timings.requestTimeout()
	if c.orders.Host != "" {
		config.Host = c.orders.Host
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	c.lock = &rl.LeaseLock{
		LeaseMeta: metav1.ObjectMeta{Namespace: "default", Name: c.orders.Election},
		Client:    client.CoordinationV1(), LockConfig: rl.ResourceLockConfig{Identity: c.orders.Identity},
	}
	return nil
}

func (c *candidate) connectMongoDB(ctx context.Context) error {
	options := []mongolock.Option{mongolock.WithDatabase(c.orders.Database), mongolock.WithDeferredCheck()}
	if c.orders.Lock == mongoPush {
		options = append(options, mongolock.WithFeed(c.orders.FeedURI, "", c.orders.Feed))
	}
	client, err := mongolock.Connect(ctx, c.orders.URI, options...)
	if err != nil {
		return err
	}
	c.mongo, err = resourcelock.New(client, resourcelock.Config{
		Namespace: "default", Name: c.orders.Election, Identity: c.orders.Identity,
		LeaseDuration: c.orders.Timings.Lease, RequestTimeout: c.orders.Timings.requestTimeout(),
		DisableFastGet:  c.orders.Lock == mongoStrict,
		DisableLongPoll: c.orders.Lock == mongoStrict || c.orders.Lock == mongoFast,
	})
	c.lock, c.close = c.mongo, client.Close
	return err
}
