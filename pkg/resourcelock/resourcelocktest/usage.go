/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package resourcelocktest

import (
	"context"
	"fmt"
	"runtime"
)

// usage is how electors use a lock.
func usage() []scenario {
	return []scenario{
		{name: "E1", asks: "the elector's calls are get, create, update, update, and for the release get, update", run: sameCalls},
		{name: "E7", asks: "many runs of electors on one lock leave no goroutines", run: manyRuns, alone: true},
	}
}

func sameCalls(ctx context.Context, e *election) error {
	r, err := e.elect(ctx, "a")
	if err != nil {
		return err
	}
	err = eventually(ctx, preparation, "two renewals", func() (bool, error) { return len(r.operations()) >= 4, nil })
	if err != nil {
		return err
	}
	r.cancel()
	if err := within(preparation, r.done, "the end of the elector"); err != nil {
		return broken(err)
	}
	calls := r.operations()
	got := fmt.Sprint(append(calls[:4:4], calls[len(calls)-2:]...))
	if want := fmt.Sprint([]string{"get", "create", "update", "update", "get", "update"}); got != want {
		return breach("they are %s", got)
	}
	return nil
}

func manyRuns(ctx context.Context, e *election) error {
	const runs = 100
	c := e.candidate("a")
	before := 0
	for i := range runs {
		r, err := e.startOn(ctx, c)
		if err != nil {
			return err
		}
		if err := within(preparation, r.elected, "an election"); err != nil {
			return breach("run %d of %d on one lock: %w", i+1, runs, err)
		}
		r.cancel()
		if err := within(preparation, r.done, "the end of an elector"); err != nil {
			return broken(err)
		}
		if i == 0 {
			before = runtime.NumGoroutine() // what a connection needs is there by now
		}
	}
	// A connection may have got some more meanwhile; a leak has as many as there were runs.
	err := eventually(ctx, slow, "the end of what the runs began", func() (bool, error) {
		return runtime.NumGoroutine() < before+runs/2, nil
	})
	if err != nil {
		return breach("%d goroutines after the first run became %d: %w", before, runtime.NumGoroutine(), err)
	}
	return nil
}
