//go:build linux

/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package main

import "github.com/mongolock/operator/hack/bench/gauge"

// samples are the times of one contender in one measurement.
type samples = gauge.Samples

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
