//go:build linux

/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package main

import "time"

// plan is how much is measured.
type plan struct {
	quick      bool
	seed       uint64
	out, plots string // folders

	block   int // operations of one contender before the next one's turn
	warmUp  int // operations that are not counted
	cycles  int // samples of each
	denials int

	pairs   int // hand-offs of one contender at a time, and before the next one's turn
	holdMin time.Duration
	holdMax time.Duration
	rounds  int // of hand-offs

	waiters     int // that are many
	scaleRounds int
	scaleBlock  int           // samples in a round
	scaleLimit  time.Duration // of a round, if samples come slowly
	grantMin    time.Duration
	grantMax    time.Duration

	leases      int
	settle      time.Duration // from their acquisition until their renewals are steady
	renewWindow time.Duration

	goroutines       int // and locks, of the throughput
	throughputRounds int
	throughputBlock  time.Duration
}

func fullPlan() plan {
	return plan{
		block: 50, warmUp: 500, cycles: 2000, denials: 2000,
		// The times of holding spread over mongo-dlock's default period of 5 s: so its polls meet releases at any phase with the same
		// probability. Shorter ones would all end early in the period, and make it look slower than it is.
		pairs: 100, holdMin: 300 * time.Millisecond, holdMax: 5300 * time.Millisecond, rounds: 10,
		waiters: 100, scaleRounds: 4, scaleBlock: 250, scaleLimit: 40 * time.Second,
		grantMin: 50 * time.Millisecond, grantMax: 150 * time.Millisecond,
		leases: 10_000, settle: 3 * renewPeriod, renewWindow: time.Minute,
		goroutines: 64, throughputRounds: 5, throughputBlock: 2 * time.Second,
	}
}

// quickPlan changes amounts only: everything is measured in the same way.
func quickPlan() plan {
	p := fullPlan()
	p.quick = true
	p.warmUp, p.cycles, p.denials = 50, 200, 200
	p.rounds = 1
	p.scaleRounds, p.scaleBlock, p.scaleLimit = 1, 30, 6*time.Second
	p.leases, p.settle, p.renewWindow = 1000, 2*renewPeriod, 2*renewPeriod
	p.throughputRounds, p.throughputBlock = 1, time.Second
	return p
}
