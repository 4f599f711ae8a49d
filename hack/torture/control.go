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
	"slices"
	"sync"
	"time"

	"github.com/mongolock/operator/hack/torture/check"
	"github.com/mongolock/operator/hack/torture/controls"
	"github.com/mongolock/operator/hack/torture/history"
	"github.com/mongolock/operator/hack/torture/plan"
	"github.com/mongolock/operator/hack/torture/worker"
)

const (
	// unguarded is the control in which nothing is wrong with the lock, but the resource does not compare tokens.
	unguarded = "unguarded-resource"

	controlTime    = 30 * time.Second
	controlWorkers = 4
	// controlError is by how much the clock of one worker is wrong in a control.
	controlError = 30 * time.Second
)

// control is a lock that is wrong on purpose, and the check that has to find that.
type control struct {
	name, check string
}

func allControls() []control {
	all := []control{{unguarded, "resource"}}
	for _, name := range controls.Names {
		all = append(all, control{name, "exclusion"})
	}
	return all
}

// runControls runs all controls side by side under pauses, and tells which were caught.
func (r *rig) runControls(ctx context.Context) (map[string]bool, error) {
	all := allControls()
	r.screen.Say("Controls: %d locks that are wrong on purpose have to be caught, %s", len(all), controlTime)
	defer r.screen.During(ctx, "running the controls")()
	caught := map[string]bool{}
	errs := make([]error, len(all))
	var mu sync.Mutex
	var running sync.WaitGroup
	for i, c := range all {
		n, err := r.newRun(c.name, c.name != unguarded, controlWorkers, c.orders)
		if err != nil {
			return nil, err // the process ends, and what runs with it
		}
		running.Go(func() {
			found, err := r.runControl(ctx, n, c)
			mu.Lock()
			defer mu.Unlock()
			caught[c.name], errs[i] = found, err
		})
	}
	running.Wait()
	return caught, errors.Join(errs...)
}

func (r *rig) runControl(ctx context.Context, n *run, c control) (caught bool, err error) {
	defer func() { err = errors.Join(err, n.close(ctx)) }()
	faults := plan.Faults(r.settings.seed, controlTime, []string{plan.Pause}, controlWorkers, mainLocks)
	if err := n.work(ctx, controlTime, faults, func(history.Fault) {}); err != nil {
		return false, fmt.Errorf("control %s: %w", c.name, err)
	}
	_, verdict, err := n.judge(ctx, check.Rules{RetryPeriod: worker.RetryPeriod, Patience: patience})
	if err != nil {
		return false, err
	}
	i := slices.IndexFunc(verdict.Violations, func(v check.Violation) bool { return v.Check == c.check })
	if i < 0 {
		r.screen.Say("  %-20s NOT CAUGHT by the check of %s", c.name, c.check)
		return false, nil
	}
	r.screen.Say("  %-20s caught: %s", c.name, verdict.Violations[i].Text)
	return true, nil
}

func (c control) orders(number int) worker.Orders {
	o := worker.Orders{Rooms: []worker.Room{
		{Collection: mainRoom, Sessions: 3, Locks: plan.Locks{Names: mainLocks[:3], Simple: true, Long: true}},
	}}
	if c.name != unguarded {
		o.Control = c.name
	}
	if c.name == controls.ClientClock && number == 0 {
		o.ClockError = controlError
	}
	return o
}
