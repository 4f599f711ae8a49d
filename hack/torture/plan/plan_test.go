//go:build linux

/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package plan

import (
	"slices"
	"testing"
	"time"
)

var locks = Locks{Names: []string{"a", "b", "c"}, Shared: map[string]bool{"c": true}}

func steps(seed uint64, worker, incarnation, session int) []Step {
	s := NewSession(seed, worker, incarnation, session, locks)
	var all []Step
	for range 1000 {
		all = append(all, s.Next())
	}
	return all
}

func TestTheSameSeedGivesTheSameSchedules(t *testing.T) {
	if !slices.Equal(steps(1, 2, 3, 4), steps(1, 2, 3, 4)) {
		t.Error("the steps of two sessions differ")
	}
	first := steps(1, 2, 3, 4)
	for _, other := range [][]Step{steps(2, 2, 3, 4), steps(1, 3, 3, 4), steps(1, 2, 4, 4), steps(1, 2, 3, 5)} {
		if slices.Equal(first, other) {
			t.Error("two sessions that should differ do the same")
		}
	}
	a, b := Faults(1, time.Hour, Kinds, 8, locks.Names), Faults(1, time.Hour, Kinds, 8, locks.Names)
	if !slices.Equal(a, b) {
		t.Error("the faults differ")
	}
	if slices.Equal(a, Faults(2, time.Hour, Kinds, 8, locks.Names)) {
		t.Error("two seeds give the same faults")
	}
}

// TestAMinuteHasEveryFault, whatever the seed, and no fault outlasts the load.
func TestAMinuteHasEveryFault(t *testing.T) {
	for seed := range uint64(1000) {
		seen := map[string]bool{}
		last := time.Duration(0)
		for _, f := range Faults(seed, time.Minute, Kinds, 8, locks.Names) {
			seen[f.Kind] = true
			if f.At < last || f.At+f.For > time.Minute-lastFault {
				t.Fatalf("seed %d: %+v after one at %s", seed, f, last)
			}
			last = f.At
		}
		if len(seen) != len(Kinds) {
			t.Fatalf("seed %d: a minute has %d of %d kinds", seed, len(seen), len(Kinds))
		}
	}
}

func TestStepsVary(t *testing.T) {
	kinds, shared, barging, twins, abandoned, renewals := map[string]int{}, 0, 0, 0, 0, 0
	for _, s := range steps(1, 1, 1, 1) {
		kinds[string(s.Kind)]++
		count := func(n *int, yes bool) {
			if yes {
				*n++
			}
		}
		count(&shared, s.Shared)
		count(&barging, s.Barge)
		count(&twins, s.Twin != "")
		count(&abandoned, s.Abandon)
		count(&renewals, s.Renews > 0)
		if s.Lease < time.Second || s.Lease > Lease || s.Shared && s.Lock != "c" {
			t.Errorf("step %+v", s)
		}
	}
	for what, n := range map[string]int{
		"try": kinds["try"], "wait": kinds["wait"], "get": kinds["get"], "evict": kinds["evict"], "shared": shared, "barging": barging,
		"twins": twins, "abandoned": abandoned, "renewals": renewals,
	} {
		if n == 0 {
			t.Errorf("no step of the kind %q among a thousand", what)
		}
	}
}
