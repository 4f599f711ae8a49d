//go:build linux

/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package main

import "time"

const (
	// lease is that of all locks, and renewal how often each is renewed.
	lease   = 15 * time.Second
	renewal = lease / 3
	// restartWindow and outageTime are part of the meaning of the figures, so a quick run has the same.
	restartWindow = 30 * time.Second
	outageTime    = 30 * time.Second
	// fullWindow is what the names of figures that end in 60s mean.
	fullWindow = time.Minute
)

// plan is what is measured.
type plan struct {
	Sizes   []int    `json:"sizes"`
	Rate    int      `json:"transitions_per_second"`
	Clients int      `json:"clients"`
	Seed    uint64   `json:"seed"`
	Quick   bool     `json:"quick"`
	Flags   []string `json:"operator_flags"`
	steady  time.Duration
	churn   time.Duration
}

func fullPlan() *plan {
	return &plan{Sizes: []int{1000, 3000, 10_000}, steady: fullWindow, churn: fullWindow}
}

func quickPlan() *plan {
	return &plan{Sizes: []int{200}, Quick: true, steady: 20 * time.Second, churn: 15 * time.Second}
}

// writesPerSecond is about how many statuses the operator writes while there are many to write: what it allows itself.
const writesPerSecond = 100

// estimate is about how long the plan takes on a machine that keeps up.
func (p *plan) estimate() time.Duration {
	const around = 35 * time.Second // starts, rests and recoveries of one size
	total := 20 * time.Second
	before := 0
	for _, n := range p.Sizes {
		total += around + p.steady + p.churn + restartWindow + outageTime
		total += time.Duration(n-before) * time.Second / writesPerSecond
		before = n
	}
	return total
}

// patience is how long n status writes may take before the operator is said not to keep up.
func patience(n int) time.Duration { return 4 * time.Duration(n) * time.Second / writesPerSecond }
