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

	"github.com/mongolock/operator/hack/screen"
	"github.com/mongolock/operator/hack/task"
)

// bench is one run of the benchmark.
type bench struct {
	screen   *screen.Screen
	plan     *plan
	stack    *stack
	crew     *crew
	observer *observer
	keeper   *keeper
	objects  int // that there are
	report   report
	path     string // of the report
}

func run(ctx context.Context, s *screen.Screen, p *plan, out, docs string) (err error) {
	for _, folder := range []string{out, docs} {
		if err := os.MkdirAll(folder, 0o755); err != nil {
			return err
		}
	}
	s.Say("Seed %d, about %s on a machine that keeps up", p.Seed, p.estimate().Round(minute/2))
	b := &bench{screen: s, plan: p, report: report{Plan: p}, path: filepath.Join(out, "operator.json")}
	stop, err := b.setUp(ctx, out)
	defer func() { err = errors.Join(err, stop()) }()
	if err != nil {
		return err
	}
	failed := b.measure(ctx)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	s.Block("Operator", b.report.table())
	if failed == nil {
		failed = b.report.plot(filepath.Join(docs, "operator.svg"))
	}
	s.Say("Wrote %s", b.path)
	return failed
}

// setUp starts everything but the operator. stop stops what was started, also after an error.
func (b *bench) setUp(ctx context.Context, out string) (stop func() error, err error) {
	var stops []func() error
	stop = func() error {
		b.screen.Say("Stopping everything")
		var errs []error
		for i := len(stops) - 1; i >= 0; i-- {
			errs = append(errs, stops[i]())
		}
		return errors.Join(errs...)
	}
	b.screen.Say("Starting MongoDB and Kubernetes, and building the operator")
	defer b.screen.During(ctx, "starting")()
	if b.stack, err = startStack(ctx, b.screen, out); err != nil {
		return stop, err
	}
	stops = append(stops, b.stack.close)
	if b.report.Environment, err = b.environment(ctx); err != nil {
		return stop, err
	}
	log, err := os.Create(filepath.Join(out, "operator.log"))
	if err != nil {
		return stop, err
	}
	stops = append(stops, log.Close)
	if b.crew, err = startCrew(b.plan, b.stack.uri, b.stack.database); err != nil {
		return stop, err
	}
	stops = append(stops, func() error { b.crew.stop(); return nil })
	b.observer = newObserver(b.stack.api)
	watching := task.Start(ctx, b.observer.run)
	stops = append(stops, func() error { watching(); return nil })
	b.keeper = &keeper{stack: b.stack, flags: b.plan.Flags, log: log}
	stops = append(stops, func() error { b.keeper.kill(); return nil })
	return stop, nil
}

// measure measures one size after the other. Locks and objects of a size stay for the next one, which begins with a new operator.
func (b *bench) measure(ctx context.Context) error {
	for i, n := range b.plan.Sizes {
		r := &result{Objects: n, Phases: map[string]load{}}
		b.report.Sizes = append(b.report.Sizes, r)
		err := b.size(ctx, r)
		var limit *limitError
		switch {
		case err == nil:
			r.Carried = true
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case errors.As(err, &limit):
			r.Reason = err.Error()
			b.screen.Say("  NOT CARRIED by this machine: %v", err)
			for _, more := range b.plan.Sizes[i+1:] {
				b.report.Sizes = append(b.report.Sizes, &result{Objects: more, Reason: fmt.Sprintf("not tried, as %d were not carried", n)})
			}
			return b.save(true)
		default:
			r.Reason = "failed: " + err.Error()
			return errors.Join(fmt.Errorf("%d objects: %w", n, err), b.save(false))
		}
		if err := b.save(i == len(b.plan.Sizes)-1); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) save(complete bool) error {
	b.report.Complete = complete
	b.report.conclude()
	return b.report.write(b.path)
}

// size goes through all phases with n objects.
func (b *bench) size(ctx context.Context, r *result) error {
	for _, phase := range []struct {
		name string
		f    func(context.Context, *result) error
	}{
		{"fill", b.fill}, {"steady", b.steady}, {"transitions", b.transitions}, {"restart", b.restart}, {"outage", b.outage},
	} {
		if err := b.phase(ctx, r, phase.name, phase.f); err != nil {
			return err
		}
		if err := b.save(false); err != nil {
			return err
		}
	}
	peak := b.keeper.sample()
	r.RSS = &peak
	return nil
}

// limitError is that the machine was too small for a phase.
type limitError struct {
	phase string
	load  load
	err   error
}

func (e *limitError) Error() string {
	return fmt.Sprintf("%s: %v; meanwhile %s", e.phase, e.err, e.load)
}
func (e *limitError) Unwrap() error { return e.err }

// phase runs one phase, and tells whether it is the machine's fault if it was too slow.
func (b *bench) phase(ctx context.Context, r *result, name string, f func(context.Context, *result) error) error {
	before, err := b.spent()
	if err != nil {
		return err
	}
	failed := f(ctx, r)
	after, err := b.spent()
	if err != nil {
		return errors.Join(failed, err)
	}
	l := after.since(before)
	r.Phases[name] = l
	if failed != nil {
		return blame(name, failed, l)
	}
	b.screen.Say("  %s took %.0f s; %s", name, l.Seconds, l)
	return nil
}

// blame tells a machine that is too small from everything else that can go wrong: that was too slow, and the processors had no time left.
func blame(phase string, failed error, l load) error {
	if errors.Is(failed, errSlow) && l.Busy >= overloaded {
		return &limitError{phase, l, failed}
	}
	return fmt.Errorf("%s: %w; meanwhile %s", phase, failed, l)
}
