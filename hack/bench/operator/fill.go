//go:build linux

/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package main

import (
	"context"
	"fmt"
	"time"

	"github.com/mongolock/operator/hack/bench/gauge"
	"github.com/mongolock/operator/hack/task"
)

const (
	minute = time.Minute
	// settleTime is what a loaded machine may add to anything that is waited for.
	settleTime = 30 * time.Second
	// restTime is for how long an operator has to do nothing to be at rest, and restLimit how long that is waited for.
	restTime  = 3 * time.Second
	restLimit = 30 * time.Second
)

// filling is how the objects of a size came to be.
type filling struct {
	Acquire float64 `json:"acquire_s"`
	Create  float64 `json:"create_s"`
	// Mirror is from the start of the operator until all objects show Held; Written is how many statuses had to be written for that.
	Mirror  float64 `json:"mirror_s"`
	Written int     `json:"written"`
}

// fill acquires the locks, makes the objects, and starts an operator, which finds both there.
func (b *bench) fill(ctx context.Context, r *result) error {
	from := b.objects
	b.screen.Say("%d objects: acquiring %d locks, creating as many objects", r.Objects, r.Objects-from)
	defer b.screen.During(ctx, "filling")()
	if _, err := b.keeper.stop(); err != nil {
		return err
	}
	f := &filling{Written: r.Objects - from}
	begin := gauge.Now()
	if err := b.crew.hold(ctx, from, r.Objects); err != nil {
		return fmt.Errorf("acquire the locks: %w", err)
	}
	f.Acquire = seconds(gauge.Now() - begin)
	begin = gauge.Now()
	if err := b.stack.create(ctx, from, r.Objects); err != nil {
		return fmt.Errorf("create the objects: %w", err)
	}
	f.Create = seconds(gauge.Now() - begin)
	b.objects = r.Objects
	b.screen.Say("  acquired in %.1f s, created in %.1f s; starting the operator", f.Acquire, f.Create)

	b.keeper.fresh()
	if err := b.keeper.start(); err != nil {
		return err
	}
	at, err := b.observer.awaitAll(ctx, settleTime+patience(f.Written), "all objects show Held", held, r.Objects)
	if err != nil {
		return err
	}
	f.Mirror = seconds(at - b.keeper.process().began)
	b.screen.Say("  all show Held %.1f s after the start of the operator", f.Mirror)
	r.Fill = f
	return b.ready(ctx)
}

// ready waits until the operator is.
func (b *bench) ready(ctx context.Context) error {
	_, err := b.observer.await(ctx, settleTime, "the operator is ready", func() bool { return b.keeper.process().ready(ctx) })
	return err
}

// rest waits until the operator does nothing any more, as what follows is about something else. That it never rests is no error here: the
// figures will tell.
func (b *bench) rest(ctx context.Context) {
	var last own
	since := time.Now()
	for begin := since; time.Since(begin) < restLimit && ctx.Err() == nil; task.Wait(ctx, restTime/3) {
		now := b.own(ctx)
		switch {
		case now == nil || *now != last || now.Queue > 0:
			since = time.Now()
		case time.Since(since) >= restTime:
			return
		}
		if now != nil {
			last = *now
		}
	}
	b.screen.Say("  the operator did not come to rest within %s", restLimit)
}
