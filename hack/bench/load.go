//go:build linux

/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package main

import (
	"fmt"

	"github.com/mongolock/operator/hack/bench/gauge"
)

// load is the share of all processors that was busy, of the whole machine and of the benchmark with all that it has started. A server
// that it has not started is no part of that.
type load struct{ machine, own float64 }

func (l load) String() string {
	return fmt.Sprintf("%.0f%% of the processors busy", 100*l.own) + l.foreign()
}

// foreign tells of other work if there was enough to disturb.
func (l load) foreign() string {
	if others := l.machine - l.own; others > 0.1 {
		return fmt.Sprintf(", and %.0f%% WITH OTHER WORK", 100*others)
	}
	return ""
}

// during is the load while f ran. Processes that ended meanwhile are missed.
func during(f func() error) (load, error) {
	before, err := gauge.Machine()
	own := gauge.Descendants()
	if err != nil {
		return load{}, err
	}
	if err := f(); err != nil {
		return load{}, err
	}
	after, err := gauge.Machine()
	if err != nil || after.Total == before.Total {
		return load{}, err
	}
	total := float64(after.Total - before.Total)
	var used uint64
	for pid, then := range gauge.Descendants() {
		used += then.Ticks - min(own[pid].Ticks, then.Ticks)
	}
	return load{machine: float64(after.Busy-before.Busy) / total, own: float64(used) / total}, nil
}
