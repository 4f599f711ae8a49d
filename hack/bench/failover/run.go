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
	"sync"
	"time"

	"github.com/mongolock/operator/hack/screen"
)

// race is one run of the benchmark.
type race struct {
	screen    *screen.Screen
	plan      *plan
	stores    *stores
	elections []*election
	report    report
	path      string // of the report
}

func run(ctx context.Context, s *screen.Screen, p *plan, out, docs string) (err error) {
	for _, folder := range []string{out, docs} {
		if err := os.MkdirAll(folder, 0o755); err != nil {
			return err
		}
	}
	s.Say("Seed %d, about %s on a machine that keeps up", p.Seed, p.estimate().Round(time.Minute/2))
	s.Say("Starting MongoDB, a feed store and Kubernetes")
	r := &race{screen: s, plan: p, report: newReport(p), path: filepath.Join(out, "failover.json")}
	if r.stores, err = startStores(ctx); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.close()) }()
	r.report.Server, r.report.Outages = r.stores.product, r.stores.outages()
	for _, lock := range contenders {
		for i := range p.Elections {
			e, err := newElection(r.stores, p, lock, i)
			if err != nil {
				return err
			}
			r.elections = append(r.elections, e)
		}
	}
	if err := r.measure(ctx); err != nil {
		return err
	}
	s.Block("Failover", r.report.table())
	if err := r.report.plot(filepath.Join(docs, "failover.svg")); err != nil {
		return err
	}
	if n := r.report.failed(); n > 0 {
		return fmt.Errorf("%d trials failed: what they measured is missing above, and %s says why", n, r.path)
	}
	return nil
}

// measure writes the report after each cell, so that there is one whatever happens later.
func (r *race) measure(ctx context.Context) error {
	var steps []func()
	for _, c := range r.plan.cells {
		steps = append(steps, func() { r.cell(ctx, c) })
	}
	for _, o := range r.plan.outages {
		steps = append(steps, func() { r.outage(ctx, o) })
	}
	steps = append(steps, func() { r.load(ctx) })
	for i, step := range steps {
		step()
		r.report.judge()
		r.report.Complete = i == len(steps)-1 && ctx.Err() == nil
		if err := r.report.write(r.path); err != nil {
			return err
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
	return nil
}

// each does something with all elections side by side.
func (r *race) each(what func(e *election)) {
	var all sync.WaitGroup
	for _, e := range r.elections {
		all.Go(func() { what(e) })
	}
	all.Wait()
}

// begin gives all elections new locks and timings.
func (r *race) begin(t Timings) {
	r.each(func(e *election) { e.begin(t) })
}

// cell runs the trials of one fault in all elections side by side.
func (r *race) cell(ctx context.Context, c cell) {
	r.screen.Say("%-10s with a lease of %s: %d trials of each contender", c.name, c.timings.Lease, c.rounds*r.plan.Elections)
	defer r.screen.During(ctx, "measuring")()
	r.begin(c.timings)
	r.each(func(e *election) {
		for range c.rounds {
			s, err := e.observe(ctx, c.trial)
			r.add(ctx, e, c.name, s, err)
			if ctx.Err() != nil {
				return
			}
			if err != nil {
				e.begin(c.timings) // nobody knows in what state it is
			}
		}
	})
}

// add adds a trial to the report, unless it is the user who ended it.
func (r *race) add(ctx context.Context, e *election, fault string, s sample, err error) {
	if ctx.Err() == nil {
		r.note(e, fault, err)
		r.report.add(fault, e.timings, e.lock, s, err)
	}
}

// note says that a trial failed, if it did.
func (r *race) note(e *election, fault string, err error) {
	if err != nil {
		r.screen.Say("  FAILED: %s of %s: %v", fault, e.lock, err)
	}
}

func (r *race) close() error {
	for _, e := range r.elections {
		e.close()
	}
	return r.stores.close()
}
