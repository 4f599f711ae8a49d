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

	"github.com/mongolock/operator/pkg/mongolock"
)

const (
	// slack is how much longer than a lease a takeover may take.
	slack = 5 * time.Second
	// holderTimeout bounds the wait for somebody who could be killed.
	holderTimeout = time.Minute
)

// takeover is a kill of a holder and what came of it.
type takeover struct {
	lock         string
	from, to     string // processes; to is empty if nobody took over
	holder       string // the name that to has in MongoDB
	before, next int64  // tokens
	killed, seen stamp
	bound        time.Duration
}

func (t *takeover) took() time.Duration { return t.seen.since(t.killed) }

func (t *takeover) String() string {
	if t.to == "" {
		return fmt.Sprintf("%s: %s was killed and nobody took over within %s", t.lock, t.from, t.bound)
	}
	to := t.to
	if t.holder != t.to {
		to += " (" + shorten(t.holder) + ")"
	}
	return fmt.Sprintf("%s: from %s to %s in %.1fs, bound %s", t.lock, t.from, to, t.took().Seconds(), t.bound)
}

// leader waits until one operator leads, in its own words and in MongoDB.
func (d *demo) leader(ctx context.Context) (*operator, mongolock.State, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, holderTimeout, fmt.Errorf("no operator led for %s", holderTimeout))
	defer cancel()
	leader, err := d.election.leader(ctx, nil)
	if err != nil {
		return nil, mongolock.State{}, err
	}
	state, err := d.observer.await(ctx, leaderLock, mongolock.State.Held)
	return leader, state, err
}

// killLeader kills the operator that leads and waits until the other one does.
func (d *demo) killLeader(ctx context.Context) (*takeover, error) {
	leader, before, err := d.leader(ctx)
	if err != nil {
		return nil, err
	}
	t := &takeover{lock: leaderLock, from: leader.name, before: before.Token, bound: leaderLease + slack}
	d.screen.line("kill", fmt.Sprintf("kill -9 %s, the leader with token %d; its lease is %s", t.from, t.before, leaderLease))
	t.killed = leader.kill()

	waiting, cancel := context.WithTimeout(ctx, t.bound)
	defer cancel()
	after, err := d.observer.await(waiting, leaderLock, func(s mongolock.State) bool { return s.Held() && s.Token > t.before })
	if err == nil {
		t.next, t.holder = after.Token, after.Holders[0].Owner
		var next *operator
		if next, err = d.election.leader(waiting, leader); err == nil {
			t.to = next.name
		}
	}
	t.seen = now()
	return t, d.judge(ctx, t, err)
}

// killWorker kills a worker that has just acquired a lock and waits until another one acquires it.
func (d *demo) killWorker(ctx context.Context) (*takeover, error) {
	holding, cancel := context.WithTimeoutCause(ctx, holderTimeout, fmt.Errorf("no worker acquired a lock for %s", holderTimeout))
	defer cancel()
	victim, err := d.journal.next(holding, len(d.journal.all()), func(r report) bool { return r.What == acquired })
	if err != nil {
		return nil, err
	}
	t := &takeover{lock: victim.Lock, from: victim.Worker, before: victim.Token, bound: workerLease + slack}
	d.screen.line("kill", fmt.Sprintf("kill -9 %s, which holds %s with token %d; its lease is %s", t.from, t.lock, t.before, workerLease))
	t.killed = d.workers[t.from].kill()
	d.deaths[t.from] = t.killed

	waiting, cancel := context.WithTimeout(ctx, t.bound)
	defer cancel()
	next, err := d.journal.next(waiting, 0, func(r report) bool {
		return r.What == acquired && r.Lock == t.lock && r.At > t.killed
	})
	if err == nil {
		t.to, t.holder, t.next, t.seen = next.Worker, next.Worker, next.Token, next.At
	}
	return t, d.judge(ctx, t, err)
}

// judge tells the outcome of a takeover. That it did not happen in time is an outcome; that the demo ends is an error.
func (d *demo) judge(ctx context.Context, t *takeover, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	d.screen.line("kill", t.String())
	return nil
}
