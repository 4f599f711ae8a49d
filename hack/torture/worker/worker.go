//go:build linux

/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

// Package worker is one of the processes that use the locks: sessions that acquire, hold, renew and release them, a candidate for
// leadership and watchers. It is told what to do on the command line, and reports on standard output: "ready", then each second the
// number of operations so far. The line "rest" on standard input ends the load, the end of standard input closes the clients, and the
// process ends after it has looked for what they left behind.
package worker

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/goleak"

	"github.com/mongolock/operator/hack/torture/history"
	"github.com/mongolock/operator/hack/torture/plan"
)

// Orders are what a worker is told to do.
type Orders struct {
	Worker, Incarnation int
	Seed                uint64
	// URI and FeedURI are those of the worker's own proxies.
	URI, FeedURI string
	Database     string
	// History is the file to write; Resource is the socket of the resource.
	History, Resource string
	// Control is the name of the control that takes the place of mongolock, empty for mongolock itself.
	Control string
	// ClockError is by how much the clock of this process is wrong, for a control that reads it.
	ClockError time.Duration
	// Rooms are the collections, with the locks in each and the number of sessions that work on them.
	Rooms []Room
	// Election is the lock that the candidate stands for; empty: there is no candidate.
	Election string
}

// Room is a collection of locks.
type Room struct {
	Collection string
	// Feed tells that its clients listen to the doorbell in the feed's store.
	Feed     bool
	Sessions int
	Locks    plan.Locks
}

// RetryPeriod is that of all waiters.
const RetryPeriod = time.Second

const (
	closeTimeout = 10 * time.Second
	openTimeout  = 30 * time.Second
)

// Worker is one life of a worker.
type Worker struct {
	orders     Orders
	history    *history.Writer
	resource   *resourceClient
	operations atomic.Int64
	closers    []func(context.Context) error
	before     goleak.Option // the goroutines that were there before the clients

	closed  chan struct{}  // when all clients are
	waiting sync.WaitGroup // for the ends of leases
}

// Run is the life of a worker. It ends with the end of the input.
func Run(ctx context.Context, text string, input io.Reader, output io.Writer) error {
	w := &Worker{before: goleak.IgnoreCurrent(), closed: make(chan struct{})}
	if err := json.Unmarshal([]byte(text), &w.orders); err != nil {
		return fmt.Errorf("orders: %w", err)
	}
	var err error
	if w.history, err = history.Create(w.orders.History); err != nil {
		return err
	}
	err = w.work(ctx, input, output)
	return errors.Join(err, w.history.Close())
}

func (w *Worker) work(ctx context.Context, input io.Reader, output io.Writer) error {
	var err error
	if w.resource, err = dialResource(w.orders.Resource); err != nil {
		return err
	}
	load, stopLoad := context.WithCancel(ctx)
	defer stopLoad()
	watch, stopWatch := context.WithCancel(ctx)
	defer stopWatch()
	var sessions, watchers sync.WaitGroup
	for i := range w.orders.Rooms {
		if err := w.open(ctx, load, watch, i, &sessions, &watchers); err != nil {
			return errors.Join(err, w.close(ctx))
		}
	}
	fmt.Fprintln(output, "ready")
	lines := bufio.NewScanner(input)
	done := make(chan struct{})
	go func() { // ends with the input, as this process does
		defer close(done)
		for lines.Scan() {
			stopLoad()
		}
	}()
	w.report(ctx, output, done)
	stopLoad()
	sessions.Wait()
	stopWatch()
	watchers.Wait()
	return w.close(ctx)
}

// report prints the number of operations each second until done is closed.
func (w *Worker) report(ctx context.Context, output io.Writer, done <-chan struct{}) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			fmt.Fprintln(output, w.operations.Load())
		case <-done:
			return
		case <-ctx.Done():
			return
		}
	}
}

// close closes the clients, and records what is left of them.
func (w *Worker) close(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
	defer cancel()
	var errs []error
	for _, shut := range w.closers {
		errs = append(errs, shut(ctx))
	}
	close(w.closed)
	w.waiting.Wait()
	errs = append(errs, w.resource.close())
	exit := history.Exit{Worker: w.orders.Worker, Incarnation: w.orders.Incarnation}
	if err := errors.Join(errs...); err != nil {
		exit.Error = err.Error()
	}
	exit.Goroutines, exit.Sockets = leftovers(w.before)
	exit.At = history.Now()
	w.history.Write(history.Record{Exit: &exit})
	return nil
}
