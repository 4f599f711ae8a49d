//go:build linux

/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package main

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/mongolock/operator/hack/task"
)

// samplePeriod is how often the operators are asked whether they lead.
const samplePeriod = 200 * time.Millisecond

// sample is what the operators that were alive said at one time.
type sample struct {
	begin, end stamp
	leaders    []string
	failures   []error // of operators that did not answer
}

// election samples who leads, in the operators' own words.
type election struct {
	operators []*operator

	mu      sync.Mutex
	samples []sample
}

// run samples until ctx ends.
func (e *election) run(ctx context.Context) {
	for ctx.Err() == nil {
		s := e.look(ctx)
		if ctx.Err() != nil {
			return // cut short
		}
		e.mu.Lock()
		e.samples = append(e.samples, s)
		e.mu.Unlock()
		task.Wait(ctx, samplePeriod)
	}
}

// look asks all operators at the same time.
func (e *election) look(ctx context.Context) sample {
	s := sample{begin: now()}
	var mu sync.Mutex
	var asked sync.WaitGroup
	for _, o := range e.operators {
		if !o.Alive() {
			continue
		}
		asked.Go(func() {
			leads, err := o.leads(ctx)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err != nil:
				s.failures = append(s.failures, err)
			case leads:
				s.leaders = append(s.leaders, o.name)
			}
		})
	}
	asked.Wait()
	s.end = now()
	return s
}

// leader waits until exactly one operator other than not says that it leads.
func (e *election) leader(ctx context.Context, not *operator) (*operator, error) {
	for {
		s := e.look(ctx)
		if len(s.leaders) == 1 && len(s.failures) == 0 {
			i := slices.IndexFunc(e.operators, func(o *operator) bool { return o.name == s.leaders[0] })
			if e.operators[i] != not {
				return e.operators[i], nil
			}
		}
		task.Wait(ctx, samplePeriod/4)
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
	}
}

func (e *election) all() []sample {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.samples)
}
