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
)

func TestHoldsOf(t *testing.T) {
	reports := []report{
		{Worker: "w1", What: acquired, Lock: "a", Token: 1, At: at(1)},
		{Worker: "w2", What: waits, Lock: "a", At: at(1)},
		{Worker: "w1", What: released, Lock: "a", Token: 1, At: at(3)},
		{Worker: "w2", What: acquired, Lock: "a", Token: 2, At: at(4)},
		{Worker: "w1", What: acquired, Lock: "b", Token: 5, At: at(4)},
		{Worker: "w1", What: lost, Lock: "b", Token: 5, At: at(6)},
		{Worker: "w1", What: acquired, Lock: "b", Token: 6, At: at(7)},
		{Worker: "w1", What: released, Lock: "b", Token: 5, At: at(8)}, // not of this hold
	}
	want := []hold{
		{"w1", "a", 1, at(1), at(3)},
		{"w2", "a", 2, at(4), at(5)}, // killed
		{"w1", "b", 5, at(4), at(6)},
		{"w1", "b", 6, at(7), at(10)}, // until the end
	}
	if got := holdsOf(reports, map[string]stamp{"w2": at(5)}, at(10)); !slices.Equal(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}

func TestOverlaps(t *testing.T) {
	tests := []struct {
		name  string
		holds []hold
		want  int
	}{
		{"none", nil, 0},
		{"one after the other, not in order", []hold{{"w2", "a", 2, at(2), at(3)}, {"w1", "a", 1, at(1), at(2)}}, 0},
		{"two locks", []hold{{"w1", "a", 1, at(1), at(3)}, {"w2", "b", 2, at(2), at(4)}}, 0},
		{"by a nanosecond", []hold{{"w1", "a", 1, at(1), at(2) + 1}, {"w2", "a", 2, at(2), at(3)}}, 1},
		{"within", []hold{{"w1", "a", 1, at(1), at(9)}, {"w2", "a", 2, at(2), at(3)}, {"w3", "a", 3, at(4), at(5)}}, 2},
		{"the same moment", []hold{{"w1", "a", 1, at(1), at(2)}, {"w2", "a", 2, at(1), at(2)}}, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := overlaps(tt.holds); len(got) != tt.want {
				t.Errorf("got %v, want %d", got, tt.want)
			}
		})
	}
}
