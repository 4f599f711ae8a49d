//go:build linux

/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package check

import (
	"time"

	"github.com/mongolock/operator/hack/torture/history"
	"github.com/mongolock/operator/hack/torture/plan"
)

// faults checks that each kind of fault fired.
func (j *judge) faults() {
	for _, f := range j.h.Faults {
		j.verdict.Faults[f.Kind] += f.Hits
	}
	for _, kind := range j.rules.Faults {
		if j.verdict.Faults[kind] == 0 {
			j.violated("faults", "", j.h.Begin, j.h.End, "no fault of the kind %q fired: the run says nothing about it", kind)
		}
	}
	if len(j.h.Faults) == 0 {
		j.violated("faults", "", j.h.Begin, j.h.End, "no fault fired: the run proves nothing")
	}
}

// Essential are the checks that have something to look at in every run of the whole rig.
var Essential = []string{"exclusion", "tokens", "deadline", "done", "resource", "log", "claims", "fifo", "wakeup", "events", "linearizability", "leftovers"}

// proved checks that no check that is to prove something had nothing to look at.
func (j *judge) proved() {
	for _, check := range j.rules.Checks {
		if j.verdict.Checked[check] == 0 {
			j.violated("faults", "", j.h.Begin, j.h.End, "the check of %s had nothing to look at: the run says nothing about it", check)
		}
	}
}

const (
	// recovery is how long after its end an outage still counts as one.
	recovery = 2 * time.Second
	// calmWindow is over how many seconds outside of outages the rate is taken.
	calmWindow = 10
)

// floor checks that enough operations went through outside of outages: of the server, as no others stop all workers.
func (j *judge) floor() {
	seconds := make([]int, max(0, int(j.h.End.Sub(j.h.Begin)/time.Second)))
	for _, op := range j.h.Operations {
		if op.Return == 0 || op.Kind == history.Write {
			continue
		}
		j.verdict.Operations++
		if at := int(op.Return.Sub(j.h.Begin) / time.Second); op.Return >= j.h.Begin && at < len(seconds) {
			seconds[at]++
		}
	}
	sum, window, calm, windows := 0, 0, 0, 0
	for i, n := range seconds {
		begin := j.h.Begin.Add(time.Duration(i) * time.Second)
		if j.outage(begin, begin.Add(time.Second)) {
			continue
		}
		calm++
		sum, window = sum+n, window+n
		if calm%calmWindow == 0 {
			rate := float64(window) / calmWindow
			if windows++; windows == 1 || rate < j.verdict.MinOpsPerSecond {
				j.verdict.MinOpsPerSecond = rate
			}
			window = 0
		}
	}
	if calm > 0 {
		j.verdict.OpsPerSecond = float64(sum) / float64(calm)
	}
	if windows == 0 {
		j.verdict.MinOpsPerSecond = j.verdict.OpsPerSecond
	}
	if j.verdict.MinOpsPerSecond < j.rules.Floor {
		j.violated("floor", "", j.h.Begin, j.h.End, "%.0f operations a second in the worst ten seconds outside of outages, at least %.0f have to go through",
			j.verdict.MinOpsPerSecond, j.rules.Floor)
	}
}

func (j *judge) outage(from, to history.Stamp) bool {
	for _, f := range j.h.Faults {
		if plan.Outage(f.Kind) && f.From <= to && f.Until.Add(recovery) >= from {
			return true
		}
	}
	return false
}

// leftovers checks that nothing was left behind.
func (j *judge) leftovers() {
	for _, l := range j.h.Leftovers {
		j.violated("leftovers", "", j.h.End, j.h.End, "%s", l.What)
	}
	exited := map[[2]int]bool{}
	for _, e := range j.h.Exits {
		j.looked("leftovers")
		exited[[2]int{e.Worker, e.Incarnation}] = true
		if e.Goroutines != "" || e.Sockets > 0 || e.Error != "" {
			j.violated("leftovers", "", e.At, e.At, "worker %d.%d left %d sockets and the goroutines %q; closing said %q",
				e.Worker, e.Incarnation, e.Sockets, e.Goroutines, e.Error)
		}
	}
	for _, p := range j.h.Processes {
		if p.Killed == 0 && !exited[[2]int{p.Worker, p.Incarnation}] {
			j.violated("leftovers", "", p.Started, j.h.End, "worker %d.%d ended without closing", p.Worker, p.Incarnation)
		}
	}
}
