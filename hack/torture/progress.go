//go:build linux

/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package main

import (
	"context"
	"strings"
	"sync"
	"time"

	"github.com/mongolock/operator/hack/screen"
	"github.com/mongolock/operator/hack/task"
	"github.com/mongolock/operator/hack/torture/history"
)

const progressPeriod = 5 * time.Second

// progress prints what goes on.
type progress struct {
	screen *screen.Screen
	run    *run

	mu     sync.Mutex
	faults []string // that ended since the last line
}

// tell is told of each fault.
func (p *progress) tell(f history.Fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.faults = append(p.faults, f.Kind)
}

// print prints a line every few seconds until ctx ends.
func (p *progress) print(ctx context.Context) {
	begin, last := time.Now(), p.run.crew.Operations()
	for task.Wait(ctx, progressPeriod); ctx.Err() == nil; task.Wait(ctx, progressPeriod) {
		now := p.run.crew.Operations()
		p.mu.Lock()
		faults := strings.Join(p.faults, " ")
		p.faults = nil
		p.mu.Unlock()
		p.screen.Say("%4.0fs of %s  %7d operations  %5.0f/s  %s", time.Since(begin).Seconds(), p.run.rig.settings.duration, now,
			float64(now-last)/progressPeriod.Seconds(), faults)
		last = now
	}
}
