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
	"time"
)

// samples are the times of one contender in one measurement.
type samples []time.Duration

// quantile is the smallest sample that at least the share q of all do not exceed; 0 if there are none.
func (s samples) quantile(q float64) time.Duration {
	if len(s) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(s))
	rank := int(math.Ceil(q * float64(len(sorted))))
	return sorted[min(max(rank, 1), len(sorted))-1]
}

func (s samples) p50() float64 { return milliseconds(s.quantile(0.50)) }
func (s samples) p99() float64 { return milliseconds(s.quantile(0.99)) }

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// set is what was measured of all contenders, by measurement and name. The order in which they came is kept for tables and plots.
type set struct {
	byName map[string]samples
	names  []string
}

func (s *set) add(name string, more samples) {
	if s.byName == nil {
		s.byName = map[string]samples{}
	}
	if _, known := s.byName[name]; !known {
		s.names = append(s.names, name)
	}
	s.byName[name] = append(s.byName[name], more...)
}

// empty tells whether nothing was measured.
func (s *set) empty() bool {
	for _, all := range s.byName {
		if len(all) > 0 {
			return false
		}
	}
	return true
}

// order fixes the order of the names.
func (s *set) order(contenders []contender) {
	for _, c := range contenders {
		s.add(c.name, nil)
	}
}

// round keeps as many digits as a figure deserves.
func round(x float64) float64 {
	if x == 0 || math.IsNaN(x) || math.IsInf(x, 0) {
		return x
	}
	scale := math.Pow(10, 4-math.Ceil(math.Log10(math.Abs(x))))
	return math.Round(x*scale) / scale
}
