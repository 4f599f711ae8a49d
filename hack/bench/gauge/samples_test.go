//go:build linux

/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package gauge

import (
	"testing"
	"time"
)

func TestQuantile(t *testing.T) {
	var hundred Samples
	for i := range 100 {
		hundred = append(hundred, time.Duration(100-i))
	}
	tests := []struct {
		s    Samples
		q    float64
		want time.Duration
	}{
		{nil, 0.5, 0}, {Samples{7}, 0.5, 7}, {Samples{7}, 0.99, 7}, {Samples{3, 1, 2}, 0.5, 2}, {Samples{4, 3, 2, 1}, 0.5, 2},
		{hundred, 0.5, 50}, {hundred, 0.99, 99}, {hundred, 1, 100}, {hundred, 0, 1},
	}
	for _, tt := range tests {
		if got := tt.s.Quantile(tt.q); got != tt.want {
			t.Errorf("the quantile %g of %d samples is %d, want %d", tt.q, len(tt.s), got, tt.want)
		}
	}
	if hundred[0] != 100 {
		t.Error("quantile has sorted the samples themselves")
	}
}

func TestRound(t *testing.T) {
	for x, want := range map[float64]float64{0: 0, 1.23456: 1.235, 123456: 123500, 0.00123456: 0.001235, -2.00004: -2} {
		if got := Round(x); got-want > 1e-9 || want-got > 1e-9 {
			t.Errorf("Round(%g) is %g, want %g", x, got, want)
		}
	}
}
