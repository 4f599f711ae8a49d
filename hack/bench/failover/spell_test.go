//go:build linux

/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package main

import (
	"testing"
	"time"
)

// ticksOf are the writes of a process at work, both ends included.
func ticksOf(m *member, from, to time.Duration) (events []event) {
	for at := from; at <= to; at += tick {
		events = append(events, event{by: m, what: "tick", at: int64(at)})
	}
	return events
}

func TestOverlap(t *testing.T) {
	const s = time.Second
	a, b := &member{}, &member{}
	for name, c := range map[string]struct {
		a, b []event
		want overlap
	}{
		"one after the other":       {ticksOf(a, 0, s), ticksOf(b, s+1, 2*s), overlap{}},
		"side by side":              {ticksOf(a, 0, 2*s), ticksOf(b, s, 3*s), overlap{true, s}},
		"frozen, and then gone":     {append(ticksOf(a, 0, s), event{by: a, what: "gone", at: int64(9 * s)}), ticksOf(b, 2*s, 9*s), overlap{}},
		"frozen, then one write":    {append(ticksOf(a, 0, s), ticksOf(a, 8*s, 8*s)...), ticksOf(b, 2*s, 9*s), overlap{true, 0}},
		"nobody but one":            {ticksOf(a, 0, s), nil, overlap{}},
		"elected alone is not work": {ticksOf(a, 0, s), []event{{by: b, what: "elected"}}, overlap{}},
	} {
		if got := overlapOf(spellsOf(append(c.a, c.b...))); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

func TestWorked(t *testing.T) {
	const s = time.Second
	a, b := &member{}, &member{}
	all := spellsOf(append(append(ticksOf(a, 0, 2*s), ticksOf(a, 4*s, 10*s)...), ticksOf(b, 20*s, 30*s)...))
	for _, c := range []struct {
		from, to  time.Duration
		processes int
		idle      time.Duration
	}{
		{s, 2 * s, 1, 0}, {s, 8 * s, 1, 2 * s}, {5 * s, 12 * s, 1, 2 * s}, {5 * s, 30 * s, 2, 10 * s}, {12 * s, 15 * s, 0, 3 * s},
	} {
		if n, idle := worked(all, int64(c.from), int64(c.to)); n != c.processes || idle != c.idle {
			t.Errorf("%s to %s: %d processes, none for %s, want %d, %s", c.from, c.to, n, idle, c.processes, c.idle)
		}
	}
}
