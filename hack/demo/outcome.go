//go:build linux

/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package main

import (
	"fmt"
	"strings"
)

// outcome is what a run that ends by itself has shown.
type outcome struct {
	rows      []row
	takeovers []*takeover
	checks    []check
}

// print prints the end of a run and returns the exit code.
func (o outcome) print(s *screen) int {
	s.block("The locks at the end:", table(o.rows))
	var takeovers, checks strings.Builder
	for _, t := range o.takeovers {
		fmt.Fprintln(&takeovers, t)
	}
	s.block("Takeovers after kill -9:", takeovers.String())
	failures := 0
	for _, c := range o.checks {
		fmt.Fprintln(&checks, c)
		if !c.ok {
			failures++
		}
	}
	s.block("Checks:", checks.String())
	if failures > 0 {
		s.block(fmt.Sprintf("%d of %d checks FAILED.", failures, len(o.checks)), "")
		return 1
	}
	s.block(fmt.Sprintf("All %d checks passed.", len(o.checks)), "")
	return 0
}
