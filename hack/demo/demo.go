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
	"os"
	"slices"
	"strings"
	"time"

	"github.com/mongolock/operator/hack/task"
)

const (
	// namespace is that of the DistributedLocks, and the first part of the locks' ids.
	namespace = "demo"
	// logTail is how much of an operator's log is shown when something failed.
	logTail = 3000
)

// demo is one run.
type demo struct {
	screen   *screen
	fail     context.CancelCauseFunc // ends the run when a part of it ends by itself
	dir      string
	uri      string
	database string
	binary   string // of the operator
	kubectl  *kubectl

	operators []*operator
	workers   map[string]*process
	deaths    map[string]stamp // of killed workers

	journal  *journal
	observer *observer
	election *election

	stops   []func() error
	folders []string // must be gone in the end
}

// run runs the demo and returns the exit code. ctx ends by a signal.
func run(ctx context.Context, s *screen, duration time.Duration) int {
	running, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	d := &demo{screen: s, fail: fail, workers: map[string]*process{}, deaths: map[string]stamp{}, journal: newJournal()}
	result, err := d.perform(running, duration)

	interrupted := ctx.Err() != nil
	if err != nil && !interrupted || slices.ContainsFunc(result.checks, func(c check) bool { return !c.ok }) {
		d.showLogs()
	}
	left := d.cleanUp()
	if err == nil {
		result.checks = append(result.checks, left)
		return result.print(s)
	}
	s.say("%s", left)
	switch {
	case !interrupted:
		s.say("The demo failed: %v", err)
		return 1
	case !left.ok:
		return 1
	case duration > 0:
		s.say("Interrupted: nothing was checked.")
		return exitInterrupted
	}
	return 0
}

// perform does everything up to the clean-up.
func (d *demo) perform(ctx context.Context, duration time.Duration) (outcome, error) {
	if err := d.setUp(ctx); err != nil {
		return outcome{}, err
	}
	if duration == 0 {
		d.screen.say("Everything runs. Ctrl-C ends it.")
		<-ctx.Done()
		return outcome{}, context.Cause(ctx)
	}
	d.screen.say("Everything runs, for %s.", duration)
	leader, worker, err := d.play(ctx, duration)
	if err != nil {
		return outcome{}, err
	}
	rows, mirror, events, err := d.settle(ctx, leader, worker)
	if err != nil {
		return outcome{}, err
	}
	if err := d.showObjects(ctx); err != nil {
		return outcome{}, err
	}
	reports, seen := d.journal.all(), d.observer.picture()
	holds := holdsOf(reports, d.deaths, now())
	return outcome{
		rows:      rows,
		takeovers: []*takeover{leader, worker},
		checks: []check{
			checkElection(d.election.all(), leader, leastSamples(duration)),
			checkExclusion(holds, reports),
			checkTokens(holds, seen),
			checkTakeover("the other operator took over", leader, seen.history),
			checkTakeover("another worker took over", worker, seen.history),
			mirror, events,
		},
	}, nil
}

// play runs for the given duration, or longer if a takeover takes its time, and kills the leader and a worker on the way.
func (d *demo) play(ctx context.Context, duration time.Duration) (leader, worker *takeover, err error) {
	end := time.Now().Add(duration)
	task.Wait(ctx, duration/5)
	if leader, err = d.killLeader(ctx); err != nil {
		return nil, nil, fmt.Errorf("kill the leader: %w", err)
	}
	task.Wait(ctx, time.Until(end.Add(-duration*11/20)))
	if worker, err = d.killWorker(ctx); err != nil {
		return nil, nil, fmt.Errorf("kill a worker: %w", err)
	}
	task.Wait(ctx, time.Until(end))
	if ctx.Err() != nil {
		return nil, nil, context.Cause(ctx)
	}
	return leader, worker, nil
}

// showLogs prints the ends of the operators' logs.
func (d *demo) showLogs() {
	for _, o := range d.operators {
		log, err := os.ReadFile(o.log)
		if err != nil {
			log = []byte(err.Error())
		}
		d.screen.block("The end of the log of "+o.name+":", string(log[max(0, len(log)-logTail):]))
	}
}

// cleanUp stops everything in reverse order and looks for what is left.
func (d *demo) cleanUp() check {
	d.screen.say("Stopping everything.")
	begin := time.Now()
	var errs []error
	for _, stop := range slices.Backward(d.stops) {
		errs = append(errs, stop())
	}
	for _, folder := range d.folders {
		if _, err := os.Stat(folder); !os.IsNotExist(err) {
			errs = append(errs, fmt.Errorf("folder %s is left", folder))
		}
	}
	running, err := descendants()
	errs = append(errs, err)
	for pid, name := range running {
		errs = append(errs, fmt.Errorf("process %d (%s) is left", pid, name))
	}
	c := check{what: "nothing is left behind", ok: true}
	c.detail = fmt.Sprintf("no process and none of %d folders, after %.1fs", len(d.folders), time.Since(begin).Seconds())
	if err := errors.Join(errs...); err != nil {
		c.ok, c.detail = false, strings.ReplaceAll(err.Error(), "\n", "; ")
	}
	return c
}
