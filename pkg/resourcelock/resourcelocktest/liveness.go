/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package resourcelocktest

import (
	"context"
	"time"

	rl "k8s.io/client-go/tools/leaderelection/resourcelock"
)

// liveness is that somebody leads.
func liveness() []scenario {
	return []scenario{
		{name: "V1", asks: "a dead leader is replaced when its lease has ended", run: deadLeader},
		{name: "V2", asks: "a leader that releases is replaced at the next try", run: handOver},
		{name: "V3", asks: "who comes long after the leader died leads at once", run: coldStart},
		{name: "V4-short", asks: "an outage shorter than the renew deadline changes nothing", run: shortOutage},
		{name: "V4-long", asks: "after an outage that the leader has not survived one candidate leads", run: longOutage},
		{name: "V5", asks: "with a dead connection calls end when their context does, also while another leads", run: contextIsHonoured},
		{name: "V5-unbounded", asks: "calls with a dead connection and no deadline end in a lease, also while another leads", run: callsEnd},
	}
}

func deadLeader(ctx context.Context, e *election) error {
	leader, follower, err := e.pair(ctx, "a", "b")
	if err != nil {
		return err
	}
	leader.dead.Store(true)
	return broken(within(e.LeaseDuration+2*e.longestRetry()+slow, follower.elected, "a take-over"))
}

func handOver(ctx context.Context, e *election) error {
	leader, follower, err := e.pair(ctx, "a", "b")
	if err != nil {
		return err
	}
	leader.cancel()
	if err := within(e.RenewDeadline+slow, leader.done, "the end of the leader's elector"); err != nil {
		return broken(err)
	}
	return broken(within(e.longestRetry()+slow, follower.elected, "a hand-over"))
}

func coldStart(ctx context.Context, e *election) error {
	if err := e.lead(ctx, e.lock("dead")); err != nil {
		return err
	}
	time.Sleep(e.LeaseDuration + slow) // nothing tells of the end of a lease that the lock has no clock for
	next, err := e.start(ctx, "next")
	if err != nil {
		return err
	}
	return broken(within(slow, next.elected, "an election"))
}

func shortOutage(ctx context.Context, e *election) error {
	r, err := e.elect(ctx, "a")
	if err != nil {
		return err
	}
	if r.Connection == nil {
		return errNotRun
	}
	r.Connection.Blackhole()
	time.Sleep(e.RenewDeadline / 3) // the outage
	r.Connection.Heal()
	if err := r.calledAgain(ctx, 3); err != nil {
		return broken(err)
	}
	if isClosed(r.stopped) {
		return breach("the work has stopped")
	}
	return nil
}

func longOutage(ctx context.Context, e *election) error {
	leader, follower, err := e.pair(ctx, "a", "b")
	if err != nil {
		return err
	}
	if leader.Connection == nil || follower.Connection == nil {
		return errNotRun
	}
	leader.Connection.Blackhole()
	follower.Connection.Blackhole()
	for _, end := range []<-chan struct{}{leader.done, leader.stopped} { // which comes first depends on the lock
		if err := within(preparation, end, "the end of the leader"); err != nil {
			return broken(err)
		}
	}
	if isClosed(follower.elected) {
		return breach("the other was elected without a connection")
	}
	leader.Connection.Heal()
	follower.Connection.Heal()
	if err := within(e.LeaseDuration+2*e.longestRetry()+slow, follower.elected, "an election after the outage"); err != nil {
		return broken(err)
	}
	if err := leader.stoppedBefore(follower); err != nil {
		return err
	}
	if who, err := holder(ctx, e.lock("c")); err != nil || who != "b" {
		return breach("by the record %q leads, %v", who, err)
	}
	return nil
}

type call struct {
	name string
	do   func(context.Context) error
}

// calls are those of a lock that ask the server, Get first, as the others may change what the lock has seen.
func (e *election) calls(lock rl.Interface) []call {
	return []call{
		{"Get", func(ctx context.Context) error { _, _, err := lock.Get(ctx); return err }},
		{"Update", func(ctx context.Context) error { return lock.Update(ctx, e.record(lock.Identity())) }},
		{"Create", func(ctx context.Context) error { return lock.Create(ctx, e.record(lock.Identity())) }},
	}
}

// follower is a candidate that has seen another lead, so that it may wait for an end of that in the next Get.
func (e *election) follower(ctx context.Context) (Candidate, error) {
	c := e.candidate("follower")
	if c.Connection == nil {
		return c, errNotRun
	}
	if err := e.lead(ctx, e.lock("leader")); err != nil {
		return c, err
	}
	_, _, err := c.Lock.Get(ctx)
	return c, err
}

func contextIsHonoured(ctx context.Context, e *election) error {
	follower, err := e.follower(ctx)
	if err != nil {
		return err
	}
	for _, c := range []Candidate{follower, e.candidate("newcomer")} {
		c.Connection.Blackhole()
		defer c.Connection.Heal()
		for _, call := range e.calls(c.Lock) {
			ctx, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
			err := call.do(ctx)
			cancel()
			if err == nil {
				return breach("%s of a %s succeeded with a dead connection", call.name, c.Lock.Identity())
			}
			if isBreach(err) {
				return err
			}
		}
	}
	return nil
}

func callsEnd(ctx context.Context, e *election) error {
	c, err := e.follower(ctx)
	if err != nil {
		return err
	}
	c.Connection.Blackhole()
	defer c.Connection.Heal()
	for _, call := range e.calls(c.Lock.(timed).Interface) {
		ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
		done := make(chan struct{})
		var err error
		go func() {
			defer close(done)
			err = call.do(ctx)
		}()
		late := within(e.LeaseDuration+slow, done, call.name+" without a deadline")
		cancel()
		if late != nil {
			return broken(late)
		}
		if err == nil {
			return breach("%s succeeded with a dead connection", call.name)
		}
	}
	return nil
}
