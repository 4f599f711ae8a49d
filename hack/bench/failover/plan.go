//go:build linux

/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package main

import "time"

// plan is what is measured, and how often.
type plan struct {
	Seed uint64 `json:"seed"`
	// Elections run side by side, of each contender.
	Elections int  `json:"elections"`
	Quick     bool `json:"quick"`
	cells     []cell
	outages   []outage
	load      time.Duration // for how long commands are counted, with the usual timings
}

// cell is one fault with one set of timings.
type cell struct {
	fault
	timings Timings
	rounds  int // in each election
}

// outage takes the stores away for a while.
type outage struct {
	away    time.Duration
	timings Timings
}

var (
	usual = Timings{Lease: 15 * time.Second, Renew: 10 * time.Second, Retry: 2 * time.Second} // those of controller-runtime
	short = Timings{Lease: 5 * time.Second, Renew: 3 * time.Second, Retry: 500 * time.Millisecond}
)

// fullPlan has three elections of each contender, so that seven rounds are the twenty samples that a p95 needs.
func fullPlan() *plan {
	return &plan{
		Elections: 3, load: 2 * time.Minute,
		cells: []cell{
			{sigterm, usual, 5}, {sigterm, short, 16},
			{kill, usual, 5}, {kill, short, 16},
			{cold, usual, 1},
			{blackhole, usual, 4}, {blackhole, short, 7},
			{freeze, usual, 3}, {freeze, short, 5},
		},
		outages: []outage{{5 * time.Second, usual}, {11 * time.Second, usual}, {time.Minute, usual}},
	}
}

func quickPlan() *plan {
	return &plan{
		Elections: 1, Quick: true, load: 5 * time.Second,
		cells:   []cell{{sigterm, short, 2}, {kill, short, 1}, {blackhole, short, 1}, {freeze, short, 1}},
		outages: []outage{{time.Second, short}},
	}
}

// processStart is about how long a process takes to start and to connect, while many do.
const processStart = 2 * time.Second

// estimate is about how long the plan takes on a machine that keeps up. A round lasts as long as its slowest contender needs.
func (p *plan) estimate() time.Duration {
	total := 30*time.Second + calm(usual) + processStart + p.load // the stores start, and the load
	for _, c := range p.cells {
		total += time.Duration(c.rounds) * (calm(c.timings) + processStart + c.lasts(c.timings))
	}
	for _, o := range p.outages {
		total += calm(o.timings) + processStart + o.away + recovery(o.timings) + o.timings.Lease
	}
	return total
}

// calm is the mean time for which an election is left alone before a fault.
func calm(t Timings) time.Duration { return 4 * t.Retry }
