//go:build linux

/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package main

import (
	"context"
	"syscall"
	"time"

	"github.com/mongolock/operator/hack/task"
)

const (
	// settleTime is what a loaded machine may add to anything that is waited for.
	settleTime = 20 * time.Second
	// coldPause is for how long nobody is there in a cold restart.
	coldPause = 30 * time.Second
)

// fault is something that goes wrong.
type fault struct {
	name  string
	trial trial
	lasts func(Timings) time.Duration // about how long from the fault to the end of the trial, with a Lease
}

// trial is a fault in a settled election and what is measured of it.
type trial func(ctx context.Context, e *election) (sample, error)

// sample is what one trial found. What it did not ask is nil.
type sample struct {
	took    *time.Duration // from the fault to the next leader's election
	overlap overlap
	late    *late
	after   *aftermath
}

// late are writes of the old leader after the new one's first. Accepted are those which nothing tells from good ones.
type late struct{ writes, accepted int }

var (
	sigterm = fault{"sigterm", func(ctx context.Context, e *election) (sample, error) { return crash(ctx, e, syscall.SIGTERM) },
		func(t Timings) time.Duration { return 2 * t.Retry }}
	kill = fault{"kill", func(ctx context.Context, e *election) (sample, error) { return crash(ctx, e, syscall.SIGKILL) },
		func(t Timings) time.Duration { return t.Lease + t.Retry }}
	cold      = fault{"cold", coldRestart, func(t Timings) time.Duration { return coldPause + t.Lease + 2*t.Retry }}
	blackhole = fault{"blackhole", cutOff, func(t Timings) time.Duration { return t.Lease + 2*t.Retry }}
	freeze    = fault{"freeze", stopAndGo, func(t Timings) time.Duration { return 2*t.Lease + t.Retry }}
)

// takeover waits for the new leader's election and its first write.
func (e *election) takeover(ctx context.Context, since int64, next *member) (won, write event, err error) {
	limit := 3*e.timings.Lease + settleTime
	if won, err = e.await(ctx, limit, since, "the other leads", said(next, "elected")); err != nil {
		return won, write, err
	}
	write, err = e.await(ctx, settleTime, won.at, "the new leader's first write", said(next, "tick"))
	return won, write, err
}

// since is the time from a fault to an event.
func (ev event) since(at int64) *time.Duration {
	d := time.Duration(ev.at - at)
	return &d
}

// crash ends the leader, in order or not.
func crash(ctx context.Context, e *election, signal syscall.Signal) (sample, error) {
	l, f, err := e.settle(ctx)
	if err != nil {
		return sample{}, err
	}
	leader := e.members[l]
	at := leader.signal(signal)
	won, _, err := e.takeover(ctx, at, e.members[f])
	if err != nil {
		return sample{}, err
	}
	_, err = e.await(ctx, settleTime, at, "the old leader ends", said(leader, "gone"))
	return sample{took: won.since(at)}, err
}

// coldRestart kills the only replica, and starts one when its lease is long over.
func coldRestart(ctx context.Context, e *election) (sample, error) {
	l, f, err := e.settle(ctx)
	if err != nil {
		return sample{}, err
	}
	e.members[f].kill()
	e.members[l].kill()
	task.Wait(ctx, coldPause)
	at, err := e.start(l)
	if err != nil {
		return sample{}, err
	}
	won, _, err := e.takeover(ctx, at, e.members[l])
	return sample{took: won.since(at)}, err
}

// cutOff cuts the leader off without a word, until it has ended.
func cutOff(ctx context.Context, e *election) (sample, error) {
	l, f, err := e.settle(ctx)
	if err != nil {
		return sample{}, err
	}
	at := now()
	defer e.links[l].heal(ctx)
	if err := e.links[l].blackhole(); err != nil {
		return sample{}, err
	}
	won, write, err := e.takeover(ctx, at, e.members[f])
	if err != nil {
		return sample{}, err
	}
	return e.outlived(ctx, at, won, write, e.members[l])
}

// stopAndGo freezes the leader's process for two leases.
func stopAndGo(ctx context.Context, e *election) (sample, error) {
	l, f, err := e.settle(ctx)
	if err != nil {
		return sample{}, err
	}
	at := e.members[l].signal(syscall.SIGSTOP)
	task.Wait(ctx, 2*e.timings.Lease)
	won, write, err := e.takeover(ctx, at, e.members[f])
	e.members[l].signal(syscall.SIGCONT)
	if err != nil {
		return sample{}, err
	}
	return e.outlived(ctx, at, won, write, e.members[l])
}

// outlived waits for the end of a leader that has a successor, and looks at what it wrote after the successor's first write. A token tells such
// a write from a good one if it is lower than the successor's; a Lease has none.
func (e *election) outlived(ctx context.Context, at int64, won, write event, old *member) (sample, error) {
	if _, err := e.await(ctx, 3*e.timings.Lease+settleTime, at, "the old leader ends", said(old, "gone")); err != nil {
		return sample{}, err
	}
	s := sample{took: won.since(at), late: &late{}}
	for _, ev := range e.all() {
		if ev.by != old || ev.what != "tick" || ev.at < write.at {
			continue
		}
		s.late.writes++
		if ev.token == 0 || ev.token >= write.token {
			s.late.accepted++
		}
	}
	return s, nil
}
