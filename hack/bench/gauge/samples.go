//go:build linux

/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package gauge

import (
	"math"
	"slices"
	"time"
)

// Samples are the times of one thing that was measured many times.
type Samples []time.Duration

// Quantile is the smallest sample that at least the share q of all do not exceed; 0 if there are none.
func (s Samples) Quantile(q float64) time.Duration {
	if len(s) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(s))
	rank := int(math.Ceil(q * float64(len(sorted))))
	return sorted[min(max(rank, 1), len(sorted))-1]
}

// P50 is the median, in milliseconds.
func (s Samples) P50() float64 { return Milliseconds(s.Quantile(0.50)) }

// P99 is what 99 of 100 do not exceed, in milliseconds.
func (s Samples) P99() float64 { return Milliseconds(s.Quantile(0.99)) }

// Milliseconds converts.
func Milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// Round keeps as many digits as a figure deserves.
func Round(x float64) float64 {
	if x == 0 || math.IsNaN(x) || math.IsInf(x, 0) {
		return x
	}
	scale := math.Pow(10, 4-math.Ceil(math.Log10(math.Abs(x))))
	return math.Round(x*scale) / scale
}
