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
	"time"
)

// pause is the longest gap between two writes of a process that is at work. A process that was frozen, or that got no processor for so long,
// did nothing meanwhile, and its work before and after is two spells.
const pause = 10 * tick

// spell is a time in which a process worked, from one of its writes to another.
type spell struct {
	by       *member
	from, to int64
}

// spellsOf finds the spells of all processes.
func spellsOf(events []event) []spell {
	var all []spell
	last := map[*member]int{} // where in all the last spell of each is
	for _, ev := range events {
		if ev.what != "tick" {
			continue
		}
		if i, ok := last[ev.by]; ok && ev.at-all[i].to <= int64(pause) {
			all[i].to = ev.at
			continue
		}
		last[ev.by] = len(all)
		all = append(all, spell{ev.by, ev.at, ev.at})
	}
	return all
}

// overlap is whether two processes worked at a time, and for how long without a pause. A single write within another's spell is an overlap
// that took no time.
type overlap struct {
	found   bool
	longest time.Duration
}

func overlapOf(all []spell) (o overlap) {
	for i, a := range all {
		for _, b := range all[i+1:] {
			from, to := max(a.from, b.from), min(a.to, b.to)
			if a.by != b.by && from <= to {
				o.found, o.longest = true, max(o.longest, time.Duration(to-from))
			}
		}
	}
	return o
}

// worked tells how many processes worked at any time within an interval, and for how long at a time none did.
func worked(all []spell, from, to int64) (processes int, idle time.Duration) {
	who := map[*member]bool{}
	until := from
	for _, s := range slices.SortedFunc(slices.Values(all), func(a, b spell) int { return cmp.Compare(a.from, b.from) }) {
		if s.to < from || s.from > to {
			continue
		}
		who[s.by] = true
		idle, until = max(idle, time.Duration(s.from-until)), max(until, s.to)
	}
	return len(who), max(idle, time.Duration(to-until))
}
