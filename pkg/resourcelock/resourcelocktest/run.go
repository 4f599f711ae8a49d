/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package resourcelocktest

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"
)

// patience bounds one scenario.
const patience = 2 * time.Minute

// scenario is one thing that a lock has to do.
type scenario struct {
	name, asks string
	run        func(ctx context.Context, e *election) error
	alone      bool // nothing may run beside it
}

// Run runs all scenarios, nearly all side by side, each in a subtest, against an election that factory makes for it. Those in known, by
// name, have to fail by a breach of what they ask for: one that passes, or that was not or could not be carried out, fails the test, as any
// failure of the others does. It returns the report when all have ended. No other test of the process should run beside it.
func Run(t *testing.T, factory func(t testing.TB) Backend, known ...string) Report {
	t.Helper()
	all := slices.Concat(contract(), safety(), loss(), liveness(), usage())
	report := make(Report, len(all))
	for _, name := range known {
		if !slices.ContainsFunc(all, func(s scenario) bool { return s.name == name }) {
			t.Errorf("%q is said to be a known failure, and there is no such scenario", name)
		}
	}
	// They wait most of the time, so that all can run at once: t.Parallel would run as many as there are processors.
	t.Run("scenarios", func(t *testing.T) {
		var beside sync.WaitGroup
		for _, alone := range []bool{true, false} {
			for i, s := range all {
				if s.alone != alone {
					continue
				}
				run := func() {
					t.Run(s.name, func(t *testing.T) { report[i] = s.judge(t, factory, slices.Contains(known, s.name)) })
				}
				if alone {
					run()
				} else {
					beside.Go(run)
				}
			}
		}
		beside.Wait()
	})
	return report
}

func (s scenario) judge(t *testing.T, factory func(t testing.TB) Backend, known bool) Result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	e := &election{t: t, Backend: factory(t)}
	begin := time.Now()
	err := s.run(ctx, e)
	if late := e.stop(); err == nil {
		err = late
	}
	result := Result{Name: s.name, Asks: s.asks, Took: time.Since(begin)}
	if result.Outcome = outcome(err, known); err != nil {
		result.Detail = err.Error()
	}
	if result.Outcome != Failed {
		return result
	}
	switch {
	case err == nil:
		result.Detail = "it passes, and is said to be a known failure"
	case !isBreach(err):
		result.Detail = "it could not be carried out: " + result.Detail
	}
	t.Errorf("%s, which asks for: %s: %s", s.name, s.asks, result.Detail)
	return result
}

// outcome is how a scenario ended that returned err.
func outcome(err error, known bool) Outcome {
	switch {
	case errors.Is(err, errNotRun) && !known:
		return NotRun
	case err == nil && !known:
		return Passed
	case isBreach(err) && known:
		return Known
	default:
		return Failed
	}
}
