/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package resourcelocktest

import (
	"context"
	"time"

	rl "k8s.io/client-go/tools/leaderelection/resourcelock"
)

// timed is a lock as scenarios call it themselves, without an elector: no call lasts longer than limit, and one that goes on a second after
// its context has ended is a breach, and is left alone.
type timed struct {
	rl.Interface
	limit time.Duration
}

// Get implements [rl.Interface].
func (t timed) Get(ctx context.Context) (*rl.LeaderElectionRecord, []byte, error) {
	type answer struct {
		record *rl.LeaderElectionRecord
		raw    []byte
	}
	a, err := inTime(ctx, t.limit, "Get", func(ctx context.Context) (a answer, err error) {
		a.record, a.raw, err = t.Interface.Get(ctx)
		return a, err
	})
	return a.record, a.raw, err
}

// Create implements [rl.Interface].
func (t timed) Create(ctx context.Context, record rl.LeaderElectionRecord) error {
	_, err := inTime(ctx, t.limit, "Create", func(ctx context.Context) (struct{}, error) {
		return struct{}{}, t.Interface.Create(ctx, record)
	})
	return err
}

// Update implements [rl.Interface].
func (t timed) Update(ctx context.Context, record rl.LeaderElectionRecord) error {
	_, err := inTime(ctx, t.limit, "Update", func(ctx context.Context) (struct{}, error) {
		return struct{}{}, t.Interface.Update(ctx, record)
	})
	return err
}

func inTime[T any](ctx context.Context, limit time.Duration, name string, call func(context.Context) (T, error)) (T, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	type result struct {
		value T
		err   error
	}
	results := make(chan result, 1)
	go func() {
		value, err := call(ctx)
		results <- result{value, err}
	}()
	select {
	case r := <-results:
		return r.value, r.err
	case <-ctx.Done():
	}
	timer := time.NewTimer(slow)
	defer timer.Stop()
	select {
	case r := <-results:
		return r.value, r.err
	case <-timer.C:
		var none T
		return none, breach("%s goes on %s after its context has ended", name, slow)
	}
}
