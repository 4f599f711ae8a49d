//go:build linux

/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package main

import (
	"math"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestVerdict(t *testing.T) {
	low, high := target{must: 1.25, aim: 1.1}, target{must: 0.75, aim: 0.95, atLeast: true}
	tests := []struct {
		target target
		value  float64
		want   string
	}{
		{low, 1, "met, and the aim"}, {low, 1.1, "met, and the aim"}, {low, 1.2, "met"}, {low, 1.25, "met"}, {low, 1.2500001, "MISSED"},
		{high, 1, "met, and the aim"}, {high, 0.95, "met, and the aim"}, {high, 0.8, "met"}, {high, 0.7, "MISSED"},
		{low, math.NaN(), "not measured"}, {high, math.NaN(), "not measured"},
	}
	for _, tt := range tests {
		if got := tt.target.verdict(tt.value); got != tt.want {
			t.Errorf("%g is %q, want %q", tt.value, got, tt.want)
		}
	}
}

func TestEachTargetHasItsFigure(t *testing.T) {
	b := &bench{}
	ratio := b.ratios()
	for _, target := range targets {
		if x, there := ratio[target.key]; !there || !math.IsNaN(x) {
			t.Errorf("%s of nothing is %g, want NaN", target.key, x)
		}
	}
	if len(ratio) != len(targets) {
		t.Errorf("%d figures, want %d", len(ratio), len(targets))
	}
	if table, missed, unknown := b.judgement(); missed != 0 || unknown != len(targets) {
		t.Errorf("%d of nothing missed, %d unknown in\n%s", missed, unknown, table)
	}
	b.cycle.add(mongolockName, slices.Repeat(samples{3 * time.Millisecond}, leastSamples))
	b.cycle.add(floorName, slices.Repeat(samples{2 * time.Millisecond}, leastSamples))
	b.denied.add(mongolockName, slices.Repeat(samples{3 * time.Millisecond}, leastSamples-1)) // too few
	b.denied.add(floorName, slices.Repeat(samples{2 * time.Millisecond}, leastSamples))
	b.plan.quick = true
	if table, missed, unknown := b.judgement(); missed != 1 || unknown != len(targets)-3 || !strings.Contains(table, "MISSED") {
		t.Errorf("%d missed, want 1, and %d unknown, in\n%s", missed, unknown, table)
	}
}
