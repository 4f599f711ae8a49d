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

	"github.com/mongolock/operator/hack/task"
)

// load is what one contender asks of its stores while nothing happens, on average over its elections.
type load struct {
	Elections int      `json:"elections"`
	Failed    int      `json:"failed"`
	Failures  []string `json:"failures,omitempty"`
	// Seconds are how long was counted in all elections together.
	Seconds float64 `json:"seconds"`
	// Null: not measured. Commands are those to MongoDB and requests to kube-apiserver; APIWrites are among them.
	Leader            *float64 `json:"commands_per_leader_hour"`
	Follower          *float64 `json:"commands_per_follower_hour"`
	LeaderAPIWrites   *float64 `json:"api_server_writes_per_leader_hour"`
	FollowerAPIWrites *float64 `json:"api_server_writes_per_follower_hour"`

	leader, follower asked
}

// load counts in all elections side by side what their candidates ask.
func (r *race) load(ctx context.Context) {
	r.screen.Say("%-10s with a lease of %s, for %s", "load", usual.Lease, r.plan.load)
	defer r.screen.During(ctx, "counting")()
	r.begin(usual)
	r.each(func(e *election) {
		leader, follower, err := e.count(ctx, r.plan.load)
		if ctx.Err() == nil {
			r.note(e, "load", err)
			r.report.addLoad(e.lock, leader, follower, r.plan.load, err)
		}
	})
}

// count counts for a while what a leader and its follower ask.
func (e *election) count(ctx context.Context, window time.Duration) (leader, follower asked, err error) {
	for i := range e.counters {
		c, failed := newCounter(e.stores)
		if failed != nil {
			return leader, follower, failed
		}
		e.counters[i] = c
		defer func() {
			e.counters[i] = nil
			e.members[i].kill() // it knows no other way
			err = errors.Join(err, c.close())
		}()
	}
	l, f, err := e.settle(ctx)
	if err != nil {
		return leader, follower, err
	}
	since, leaderWas, followerWas := now(), e.counters[l].asked(), e.counters[f].asked()
	task.Wait(ctx, window)
	leader, follower = e.counters[l].asked().since(leaderWas), e.counters[f].asked().since(followerWas)
	if n, _ := worked(e.spells(), since, now()); n != 1 {
		return leader, follower, fmt.Errorf("%d processes led while commands were counted, want one", n)
	}
	if leader.commands == 0 {
		return leader, follower, fmt.Errorf("the leader asked for nothing within %s", window)
	}
	return leader, follower, nil
}

func (a asked) since(before asked) asked {
	return asked{a.commands - before.commands, a.apiWrites - before.apiWrites}
}

func (a asked) plus(b asked) asked { return asked{a.commands + b.commands, a.apiWrites + b.apiWrites} }

// addLoad adds what one election asked.
func (r *report) addLoad(lock string, leader, follower asked, window time.Duration, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	l := r.Load[lock]
	if l == nil {
		l = &load{}
		r.Load[lock] = l
	}
	if err != nil {
		l.Failed, l.Failures = l.Failed+1, append(l.Failures, err.Error())
		return
	}
	l.Elections, l.Seconds = l.Elections+1, l.Seconds+window.Seconds()
	l.leader, l.follower = l.leader.plus(leader), l.follower.plus(follower)
	hourly := func(n int64) *float64 {
		rate := float64(n) * time.Hour.Seconds() / l.Seconds
		return &rate
	}
	l.Leader, l.LeaderAPIWrites = hourly(l.leader.commands), hourly(l.leader.apiWrites)
	l.Follower, l.FollowerAPIWrites = hourly(l.follower.commands), hourly(l.follower.apiWrites)
}
