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
	"sync"
	"time"

	"github.com/mongolock/operator/hack/task"
)

type (
	// unlock releases what was acquired.
	unlock func(context.Context) error
	// lock waits for the lock with that id.
	lock func(ctx context.Context, id string) (unlock, error)
)

// handOffs makes one hand-off for each of the given times, all at once, each with its own lock, between two clients.
func handOffs(ctx context.Context, holder, waiter lock, holds []time.Duration) (samples, error) {
	took, errs := make(samples, len(holds)), make([]error, len(holds))
	var pairs sync.WaitGroup
	for i, hold := range holds {
		pairs.Go(func() { took[i], errs[i] = handOff(ctx, holder, waiter, fmt.Sprintf("handoff/%d", i), hold) })
	}
	pairs.Wait()
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return took, nil
}

// granted is the end of waiting.
type granted struct {
	at     time.Time
	unlock unlock
	err    error
}

func handOff(ctx context.Context, holder, waiter lock, id string, hold time.Duration) (time.Duration, error) {
	release, err := holder(ctx, id)
	if err != nil {
		return 0, err
	}
	grant := make(chan granted, 1)
	go func() { // ends with the waiting, which ends with ctx
		unlock, err := waiter(ctx, id)
		grant <- granted{time.Now(), unlock, err}
	}()
	task.Wait(ctx, hold)
	begin := time.Now()
	if err := release(ctx); err != nil {
		return 0, errors.Join(fmt.Errorf("release %s: %w", id, err), (<-grant).err)
	}
	got := <-grant
	switch {
	case got.err != nil:
		return 0, fmt.Errorf("wait for %s: %w", id, got.err)
	case got.at.Before(begin):
		return 0, fmt.Errorf("%s was granted %s before it was released", id, begin.Sub(got.at))
	}
	return got.at.Sub(begin), got.unlock(ctx)
}
