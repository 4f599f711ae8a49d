//go:build linux

/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package main

import (
	"slices"
	"testing"
	"time"

	"github.com/mongolock/operator/hack/bench/gauge"
)

func TestMatch(t *testing.T) {
	const ms = int64(time.Millisecond)
	seen := sightings{
		0: {{positionOf(1, true), 0}, {positionOf(1, false), 300 * ms}, {positionOf(3, true), 900 * ms}},
		1: {{positionOf(1, true), 0}},
	}
	tests := map[string]struct {
		made   []transition
		took   gauge.Samples
		unseen int
	}{
		"none":                            {},
		"a release":                       {[]transition{{0, positionOf(1, false), 100 * ms}}, gauge.Samples{200 * time.Millisecond}, 0},
		"a later status tells of it too":  {[]transition{{0, positionOf(2, true), 400 * ms}, {0, positionOf(2, false), 500 * ms}}, gauge.Samples{500 * time.Millisecond, 400 * time.Millisecond}, 0},
		"seen before the call returned":   {[]transition{{0, positionOf(3, true), 950 * ms}}, gauge.Samples{-50 * time.Millisecond}, 0},
		"never seen":                      {[]transition{{0, positionOf(3, false), 1000 * ms}}, nil, 1},
		"another lock's status is no use": {[]transition{{1, positionOf(1, false), 100 * ms}}, nil, 1},
		"a lock without a status":         {[]transition{{2, positionOf(1, true), 100 * ms}}, nil, 1},
	}
	for name, tt := range tests {
		took, unseen := seen.match(tt.made)
		if !slices.Equal(took, tt.took) || unseen != tt.unseen {
			t.Errorf("%s: %v and %d unseen, want %v and %d", name, took, unseen, tt.took, tt.unseen)
		}
	}
}

func TestBehind(t *testing.T) {
	seen := sightings{0: {{positionOf(1, false), 300}}}
	made := []transition{{0, positionOf(1, false), 100}, {1, positionOf(1, false), 100}}
	for at, want := range map[int64]int{299: 2, 300: 1} {
		if got := seen.behind(made, at); got != want {
			t.Errorf("at %d: %d behind, want %d", at, got, want)
		}
	}
}

func TestPositionsFollowEachOther(t *testing.T) {
	order := []int64{positionOf(0, false), positionOf(1, true), positionOf(1, false), positionOf(2, true)}
	if !slices.IsSorted(order) || len(slices.Compact(order)) != 4 {
		t.Errorf("%v, want an increasing order", order)
	}
}
