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

func TestQuantile(t *testing.T) {
	var hundred samples
	for i := range 100 {
		hundred = append(hundred, time.Duration(100-i))
	}
	tests := []struct {
		s    samples
		q    float64
		want time.Duration
	}{
		{nil, 0.5, 0}, {samples{7}, 0.5, 7}, {samples{7}, 0.99, 7}, {samples{3, 1, 2}, 0.5, 2}, {samples{4, 3, 2, 1}, 0.5, 2},
		{hundred, 0.5, 50}, {hundred, 0.99, 99}, {hundred, 1, 100}, {hundred, 0, 1},
	}
	for _, tt := range tests {
		if got := tt.s.quantile(tt.q); got != tt.want {
			t.Errorf("the quantile %g of %d samples is %d, want %d", tt.q, len(tt.s), got, tt.want)
		}
	}
	if hundred[0] != 100 {
		t.Error("quantile has sorted the samples themselves")
	}
}

func TestRound(t *testing.T) {
	for x, want := range map[float64]float64{0: 0, 1.23456: 1.235, 123456: 123500, 0.00123456: 0.001235, -2.00004: -2} {
		if got := round(x); got-want > 1e-9 || want-got > 1e-9 {
			t.Errorf("round(%g) is %g, want %g", x, got, want)
		}
	}
}
