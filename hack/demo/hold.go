//go:build linux

/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package main

import (
	"cmp"
	"slices"
)

// hold is a time in which a worker took a lock for its own.
type hold struct {
	worker, lock string
	token        int64
	from, to     stamp
}

// holdsOf makes holds of the workers' reports. A hold that was not ended ends with the death of its worker, or at the end.
func holdsOf(reports []report, deaths map[string]stamp, end stamp) []hold {
	var holds []hold
	open := map[string]int{} // of each worker, which takes one lock at a time
	for _, r := range reports {
		switch r.What {
		case acquired:
			to := end
			if death, dead := deaths[r.Worker]; dead {
				to = death
			}
			open[r.Worker] = len(holds)
			holds = append(holds, hold{worker: r.Worker, lock: r.Lock, token: r.Token, from: r.At, to: to})
		case released, lost:
			if i, ok := open[r.Worker]; ok && holds[i].token == r.Token {
				holds[i].to = r.At
			}
		}
	}
	return holds
}

// byLock sorts holds into those of each lock, in order of their begin.
func byLock(holds []hold) map[string][]hold {
	locks := map[string][]hold{}
	for _, h := range holds {
		locks[h.lock] = append(locks[h.lock], h)
	}
	for _, of := range locks {
		slices.SortFunc(of, func(a, b hold) int { return cmp.Compare(a.from, b.from) })
	}
	return locks
}

// overlaps returns the pairs of holds of one lock that have a moment in common.
func overlaps(holds []hold) [][2]hold {
	var pairs [][2]hold
	for _, of := range byLock(holds) {
		for i, h := range of {
			for _, later := range of[i+1:] {
				if later.from < h.to {
					pairs = append(pairs, [2]hold{h, later})
				}
			}
		}
	}
	return pairs
}

// unordered returns the pairs of successive holds of one lock whose tokens do not grow.
func unordered(holds []hold) [][2]hold {
	var pairs [][2]hold
	for _, of := range byLock(holds) {
		for i := 1; i < len(of); i++ {
			if of[i].token <= of[i-1].token {
				pairs = append(pairs, [2]hold{of[i-1], of[i]})
			}
		}
	}
	return pairs
}
