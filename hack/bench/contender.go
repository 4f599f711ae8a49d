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
	"math/rand/v2"
	"sync"
	"time"
)

// measure takes n samples, one after the other.
type measure func(ctx context.Context, n int) (samples, error)

// contender is one of those that are compared. A function that it lacks is nil.
type contender struct {
	name string
	// cycle acquires and releases a free lock n times, denied tries n times to acquire one that another client holds.
	cycle, denied measure
	// handOff has one lock for each of the given times, held for that time while another client waits for it. A sample is the time
	// from the start of the release to the end of the waiting.
	handOff func(ctx context.Context, holds []time.Duration) (samples, error)
	// throughput acquires and releases locks for that time, each worker its own, and tells how often per second.
	throughput func(ctx context.Context, d time.Duration, workers int) (float64, error)
}

// interleave gives each contender one turn in each round, in random order, so that what disturbs the machine meets all alike.
func interleave(ctx context.Context, random *rand.Rand, rounds int, contenders []contender, turn func(contender) error) error {
	for range rounds {
		for _, i := range random.Perm(len(contenders)) {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			if err := turn(contenders[i]); err != nil {
				return fmt.Errorf("%s: %w", contenders[i].name, err)
			}
		}
	}
	return nil
}

// timed makes an operation n times.
func timed(ctx context.Context, n int, operation func() error) (samples, error) {
	took := make(samples, 0, n)
	for range n {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		begin := time.Now()
		if err := operation(); err != nil {
			return nil, err
		}
		took = append(took, time.Since(begin))
	}
	return took, nil
}

// perSecond makes operations for that time, by workers of which each has its own number.
func perSecond(d time.Duration, workers int, operation func(worker int) error) (float64, error) {
	begin := time.Now()
	counts, errs := make([]int, workers), make([]error, workers)
	var running sync.WaitGroup
	for i := range workers {
		running.Go(func() {
			for time.Since(begin) < d && errs[i] == nil {
				errs[i] = operation(i)
				counts[i]++
			}
		})
	}
	running.Wait()
	took := time.Since(begin)
	var total int
	for _, n := range counts {
		total += n
	}
	return float64(total) / took.Seconds(), errors.Join(errs...)
}
