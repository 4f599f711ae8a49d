//go:build linux

/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strings"
	"time"

	"github.com/mongolock/operator/hack/task"
	"github.com/mongolock/operator/pkg/mongolock"
)

// The locks of the workers, and how they hold them.
const (
	workerLease = 3 * time.Second
	workerRetry = 500 * time.Millisecond
	minHold     = 2 * time.Second
	maxHold     = 4 * time.Second
	minPause    = 200 * time.Millisecond
	maxPause    = 600 * time.Millisecond
	// closeTimeout bounds the end of a client.
	closeTimeout = 5 * time.Second
)

var workerLocks = []string{namespace + "/report", namespace + "/cleanup"}

// worker is a process that takes one lock after the other, and tells of it on its standard output.
type worker struct {
	name   string
	client *mongolock.Client
	out    *json.Encoder
}

// work is the body of a worker's process. It takes locks in turn until its input ends, or until a line "keep <lock>" comes: then it
// takes that lock and keeps it until its input ends.
func work(ctx context.Context, name, database string, stdin io.Reader, stdout io.Writer) (err error) {
	ctx, end := context.WithCancel(ctx)
	defer end()
	client, err := mongolock.Connect(ctx, os.Getenv("MONGODB_URI"), mongolock.WithDatabase(database),
		mongolock.WithOwner(name), mongolock.WithLease(workerLease), mongolock.WithRetryPeriod(workerRetry))
	if err != nil {
		return err
	}
	defer func() {
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
		defer cancel()
		err = errors.Join(err, client.Close(closing))
	}()
	w := &worker{name: name, client: client, out: json.NewEncoder(stdout)}

	turns, noMoreTurns := context.WithCancel(ctx)
	defer noMoreTurns()
	keep := make(chan string, 1)
	go func() { // ends with the input
		input := bufio.NewScanner(stdin)
		for input.Scan() {
			if lock, ok := strings.CutPrefix(input.Text(), "keep "); ok {
				keep <- lock
				noMoreTurns()
			}
		}
		end()
	}()

	for turn := rand.IntN(len(workerLocks)); turns.Err() == nil; turn++ {
		if err := w.take(turns, workerLocks[turn%len(workerLocks)], between(minHold, maxHold)); err != nil {
			return err
		}
		task.Wait(turns, between(minPause, maxPause))
	}
	select {
	case lock := <-keep:
		return w.take(ctx, lock, time.Hour)
	default:
		return nil
	}
}

// take acquires a lock and holds it for a while, or until ctx ends or the lease is lost.
func (w *worker) take(ctx context.Context, lock string, hold time.Duration) error {
	lease, err := w.acquire(ctx, lock)
	switch {
	case ctx.Err() != nil && lease == nil:
		return nil
	case errors.Is(err, mongolock.ErrUnreachable), errors.Is(err, mongolock.ErrOutcomeUnknown):
		return w.tell(report{What: troubled, Lock: lock, Note: err.Error()})
	case err != nil:
		return err
	}
	// Told after the lock was got and before it is given back: what the worker claims is never longer than what it has.
	if err := w.tell(report{What: acquired, Lock: lock, Token: lease.Token()}); err != nil {
		return err
	}
	task.Wait(lease.Context(ctx), hold)
	what := released
	if lease.Err() != nil {
		what = lost
	}
	if err := w.tell(report{What: what, Lock: lock, Token: lease.Token()}); err != nil {
		return err
	}
	if err := lease.Unlock(ctx); err != nil && what == released {
		return fmt.Errorf("release %s: %w", lock, err)
	}
	return nil
}

// acquire tries once, tells who is in the way, and waits.
func (w *worker) acquire(ctx context.Context, lock string) (*mongolock.Lease, error) {
	lease, err := w.client.TryLock(ctx, lock)
	var held *mongolock.HeldError
	if !errors.As(err, &held) {
		return lease, err
	}
	note := fmt.Sprintf("%s holds it with token %d", held.Owner, held.Token)
	if err := w.tell(report{What: waits, Lock: lock, Note: note}); err != nil {
		return nil, err
	}
	return w.client.Lock(ctx, lock)
}

func (w *worker) tell(r report) error {
	r.Worker, r.At = w.name, now()
	return w.out.Encode(r)
}

func between(least, most time.Duration) time.Duration { return least + rand.N(most-least) }
