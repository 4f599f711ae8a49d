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
	"path/filepath"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/mongolock/operator/hack/screen"
	"github.com/mongolock/operator/hack/task"
	"github.com/mongolock/operator/hack/torture/audit"
	"github.com/mongolock/operator/hack/torture/check"
	"github.com/mongolock/operator/hack/torture/history"
	"github.com/mongolock/operator/hack/torture/plan"
	"github.com/mongolock/operator/hack/torture/worker"
	"github.com/mongolock/operator/pkg/mongolock"
)

// patience is for the search for a linearization of one lock. One that exists is found in a second; the search for one that does not takes
// some hundred megabytes a second.
const patience = 20 * time.Second

// runLock lets the crew work with the real lock, under faults, and judges it.
func (r *rig) runLock(ctx context.Context, report *report) (err error) {
	s := r.settings
	r.screen.Say("mongolock: %d workers, %d locks, %s, faults: %s", s.workers, len(breakable()), s.duration, strings.Join(s.kinds, " "))
	n, err := r.newRun("lock", true, s.workers, orders)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, n.close(ctx)) }()
	if n.admin, err = mongolock.New(ctx, n.database, mongolock.WithCollection(mainRoom)); err != nil {
		return err
	}
	for lock := range sharedLocks {
		if err := n.declare(ctx, lock); err != nil {
			return err
		}
	}
	stopAudit := n.startAudit(ctx)
	p := &progress{screen: r.screen, run: n}
	stopProgress := task.Start(ctx, p.print)
	err = n.work(ctx, s.duration, plan.Faults(s.seed, s.duration, s.kinds, s.workers, breakable()), p.tell)
	stopProgress()
	if err == nil {
		n.auditor.Look(ctx) // the last word
	}
	stopAudit()
	if err != nil {
		return err
	}
	if err := n.inspect(ctx); err != nil {
		return err
	}
	return r.judgeLock(ctx, func(rules check.Rules) (*history.History, check.Verdict, error) { return n.judge(ctx, rules) }, report)
}

func (n *run) startAudit(ctx context.Context) (stop func()) {
	locks := map[*mongo.Collection][]string{}
	for name, names := range allLocks() {
		locks[n.database.Collection(name)] = names
	}
	n.auditor = audit.New(n.history, locks)
	return task.Start(ctx, n.auditor.Run)
}

// judgeAgain judges the history that a run has left behind, and says whether everything was as it should be.
func judgeAgain(ctx context.Context, screen *screen.Screen, s settings) (passed bool, err error) {
	files, err := filepath.Glob(filepath.Join(s.judge, "*.jsonl"))
	if err != nil || len(files) == 0 {
		return false, errors.Join(err, fmt.Errorf("there is no history in %s: it is the folder with the files *.jsonl", s.judge))
	}
	if err := os.MkdirAll(s.out, 0o755); err != nil {
		return false, err
	}
	r := &rig{settings: s, screen: screen}
	report := &report{Seed: s.seed, Duration: "judged again"}
	err = r.judgeLock(ctx, func(rules check.Rules) (*history.History, check.Verdict, error) { return judgeFiles(ctx, files, rules) }, report)
	if err != nil {
		return false, err
	}
	return r.conclude(report)
}

// judgeLock judges a history of the real lock.
func (r *rig) judgeLock(
	ctx context.Context, judge func(check.Rules) (*history.History, check.Verdict, error), report *report,
) error {
	r.screen.Say("Judging")
	defer r.screen.During(ctx, "judging")()
	rules := check.Rules{
		Capacity: map[string]int{}, Audited: true, RetryPeriod: worker.RetryPeriod, Floor: r.settings.floor, Faults: r.settings.kinds,
		Checks: check.Essential, Patience: patience,
	}
	for lock := range sharedLocks {
		rules.Capacity[lock] = sharedCapacity
	}
	h, verdict, err := judge(rules)
	if err != nil {
		return err
	}
	report.Verdict = verdict
	report.Twins = twins(h)
	r.draw(h, rules, verdict.Violations)
	return nil
}

// draw writes the window of each violation, the picture of one of linearizability. What fails is said: the verdict stands without.
func (r *rig) draw(h *history.History, rules check.Rules, violations []check.Violation) {
	files := map[string]int{}
	for _, v := range violations {
		name := strings.ReplaceAll(v.Check+"-"+v.Lock, "/", "-")
		files[name]++
		path := filepath.Join(r.settings.out, fmt.Sprintf("%s-%d", name, files[name]))
		err := writeWindow(h, v, path+".txt")
		if v.Check == "linearizability" {
			err = errors.Join(err, check.Draw(h, rules, v, path+".html"))
		}
		if err != nil {
			r.screen.Say("  %s of %s: %v", v.Check, v.Lock, err)
		}
	}
}

// twins counts the acquisitions with an owner's name that others used too.
func twins(h *history.History) int {
	n := 0
	for _, op := range h.Operations {
		if op.Outcome == history.OK && strings.HasPrefix(op.Owner, plan.TwinPrefix) {
			n++
		}
	}
	return n
}
