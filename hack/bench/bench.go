//go:build linux

/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"os"
	"slices"
	"time"

	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/mongolock/operator/hack/screen"
)

// handOffLimit bounds a turn of hand-offs: a waiter that waits longer was forgotten.
const handOffLimit = time.Minute

// bench is one run.
type bench struct {
	screen   *screen.Screen
	plan     plan
	random   *mathrand.Rand
	uri      string
	database string
	driver   *mongo.Client // for what is not measured
	versions nodeVersions
	about    map[string]string

	contenders []contender

	cycle, denied, handOff, scale set
	fewName, manyName             string         // in scale
	overtaken                     map[string]int // in scale
	throughput                    map[string]float64
	renewal                       renewal
	foreign                       float64 // the largest share of the processors that others used

	stops []func() error
}

// run runs the benchmark and returns the exit code. ctx ends by a signal.
func run(ctx context.Context, s *screen.Screen, p plan) int {
	b := &bench{
		screen: s, plan: p, random: mathrand.New(mathrand.NewPCG(p.seed, 0)),
		throughput: map[string]float64{}, overtaken: map[string]int{},
	}
	s.Say("Seed %d", p.seed)
	err := b.measure(ctx)
	if err == nil {
		err = b.tell(ctx)
	}
	s.Say("Stopping everything")
	err = errors.Join(err, b.cleanUp())
	switch {
	case ctx.Err() != nil:
		s.Say("Interrupted: nothing was written.")
		return 130
	case err != nil:
		s.Say("The benchmark failed: %v", err)
		return 1
	}
	return 0
}

func (b *bench) measure(ctx context.Context) error {
	if err := b.setUp(ctx); err != nil {
		return err
	}
	for _, step := range []func(context.Context) error{
		b.measureCycle, b.measureDenied, b.measureThroughput, b.measureHandOff, b.measureScale, b.measureRenewal,
	} {
		var failed error
		busy, err := b.loadOf(func() error { failed = step(ctx); return nil })
		if err := errors.Join(failed, err); err != nil {
			return err
		}
		if note := busy.foreign(); note != "" {
			b.screen.Say("  CAUTION: %s: the figures above are disturbed", busy)
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
	return nil
}

// measureCycle measures how long it takes to acquire and release a free lock.
func (b *bench) measureCycle(ctx context.Context) error {
	b.screen.Say("Cycle: acquire and release a free lock, %d times each", b.plan.cycles)
	return b.inBlocks(ctx, &b.cycle, b.plan.cycles, func(c contender) measure { return c.cycle })
}

// measureDenied measures how long it takes to be refused.
func (b *bench) measureDenied(ctx context.Context) error {
	b.screen.Say("Denied: be refused a lock that is held, %d times each", b.plan.denials)
	return b.inBlocks(ctx, &b.denied, b.plan.denials, func(c contender) measure { return c.denied })
}

// inBlocks takes n samples of each contender, in small blocks.
func (b *bench) inBlocks(ctx context.Context, into *set, n int, of func(contender) measure) error {
	defer b.screen.During(ctx, "measuring")()
	contenders := slices.DeleteFunc(slices.Clone(b.contenders), func(c contender) bool { return of(c) == nil })
	into.order(contenders)
	warmUp := func(c contender) error { _, err := of(c)(ctx, b.plan.warmUp); return err }
	if err := interleave(ctx, b.random, 1, contenders, warmUp); err != nil {
		return err
	}
	return interleave(ctx, b.random, (n+b.plan.block-1)/b.plan.block, contenders, func(c contender) error {
		took, err := of(c)(ctx, b.plan.block)
		into.add(c.name, took)
		return err
	})
}

// measureThroughput measures how many locks can be acquired and released in a second.
func (b *bench) measureThroughput(ctx context.Context) error {
	b.screen.Say("Throughput: %d at a time, %d times %s each", b.plan.goroutines, b.plan.throughputRounds, b.plan.throughputBlock)
	defer b.screen.During(ctx, "measuring")()
	contenders := slices.DeleteFunc(slices.Clone(b.contenders), func(c contender) bool { return c.throughput == nil })
	// The first round makes the documents and the connections, and does not count.
	for _, count := range []int{1, b.plan.throughputRounds} {
		clear(b.throughput)
		err := interleave(ctx, b.random, count, contenders, func(c contender) error {
			rate, err := c.throughput(ctx, b.plan.throughputBlock, b.plan.goroutines)
			b.throughput[c.name] += rate / float64(count)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// measureHandOff measures how long after a release the waiter has the lock.
func (b *bench) measureHandOff(ctx context.Context) error {
	contenders := slices.DeleteFunc(slices.Clone(b.contenders), func(c contender) bool { return c.handOff == nil })
	b.handOff.order(contenders)
	total := b.plan.rounds * b.plan.pairs
	b.screen.Say("Hand-off: %d each, %d at a time", total, b.plan.pairs)
	pairs := b.plan.pairs
	for done := 0; done < total; {
		crowded := false
		err := interleave(ctx, b.random, 1, contenders, func(c contender) error {
			busy, err := b.handOffTurn(ctx, c, pairs)
			crowded = crowded || busy.own > 0.7
			return err
		})
		if err != nil {
			return err
		}
		done += pairs
		if crowded && pairs > 10 {
			// Otherwise the machine is measured, not the locks. The same for all.
			b.screen.Say("  That was too much for this machine: %d at a time from now on", pairs/2)
			pairs /= 2
		}
	}
	return nil
}

func (b *bench) handOffTurn(ctx context.Context, c contender, pairs int) (busy load, err error) {
	defer b.screen.During(ctx, "handing over with "+c.name)()
	ctx, cancel := context.WithTimeoutCause(ctx, b.plan.holdMax+handOffLimit, errors.New("a waiter did not get its lock in a minute"))
	defer cancel()
	holds := make([]time.Duration, pairs)
	for i := range holds {
		holds[i] = b.plan.holdMin + time.Duration(b.random.Int64N(int64(b.plan.holdMax-b.plan.holdMin)))
	}
	var took samples
	busy, err = b.loadOf(func() (err error) {
		took, err = c.handOff(ctx, holds)
		return err
	})
	if err != nil {
		return load{}, err
	}
	b.handOff.add(c.name, took)
	b.screen.Say("  %s: %d samples, p50 %.1f ms, p99 %.1f ms, %s", c.name, len(took), took.P50(), took.P99(), busy)
	return busy, nil
}

// loadOf is the load while f ran; the worst share of others is kept for the report.
func (b *bench) loadOf(f func() error) (load, error) {
	l, err := during(f)
	b.foreign = max(b.foreign, l.machine-l.own)
	return l, err
}

// tell prints and writes what was measured. It fails if something was not.
func (b *bench) tell(ctx context.Context) (err error) {
	if b.about, err = b.environment(ctx); err != nil {
		return err
	}
	table, missed, unknown := b.judgement()
	b.screen.Block("Times:", b.times())
	b.screen.Block("Further:", b.others())
	b.screen.Block("Targets:", table)
	b.screen.Block(fmt.Sprintf("Targets missed: %d.", missed), "")
	path, err := b.report().write(b.plan.out)
	if err != nil {
		return err
	}
	plots, err := b.plots(b.plan.plots)
	if err != nil {
		return err
	}
	for _, file := range append(plots, path) {
		b.screen.Say("Wrote %s", file)
	}
	if unknown > 0 {
		return fmt.Errorf("figures that could not be measured: %d, see the table", unknown)
	}
	return nil
}

func (b *bench) onStop(stop func() error) { b.stops = append(b.stops, stop) }

// cleanUp stops everything in reverse order.
func (b *bench) cleanUp() error {
	var errs []error
	for _, stop := range slices.Backward(b.stops) {
		errs = append(errs, stop())
	}
	return errors.Join(errs...)
}

// newDatabaseName names a database of this run only, as the server may be the user's own.
func newDatabaseName() string { return "mongolock_bench_" + rand.Text()[:12] }

// makeFolders makes those that are written to.
func (b *bench) makeFolders() error {
	return errors.Join(os.MkdirAll(b.plan.out, 0o755), os.MkdirAll(b.plan.plots, 0o755))
}
