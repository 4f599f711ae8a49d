/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package resourcelocktest

import (
	"fmt"
	"strings"
	"text/tabwriter"
	"time"
)

// Outcome is how a scenario ended.
type Outcome string

// The outcomes.
const (
	Passed Outcome = "passed"
	Failed Outcome = "FAILED"
	// Known is a failure that was announced.
	Known Outcome = "known failure"
	// NotRun is told of a scenario for which the backend lacks something.
	NotRun Outcome = "not run"
)

// Result is what one scenario found.
type Result struct {
	// Name is short, such as S7, and Asks says what the lock has to do.
	Name, Asks string
	Outcome    Outcome
	// Detail says what went wrong, or what was missing.
	Detail string
	Took   time.Duration
}

// Report is what all scenarios found, in order.
type Report []Result

// Count returns how many scenarios ended so.
func (r Report) Count(outcome Outcome) int {
	n := 0
	for _, result := range r {
		if result.Outcome == outcome {
			n++
		}
	}
	return n
}

// String is a table for people.
func (r Report) String() string {
	var text strings.Builder
	t := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	for _, result := range r {
		asks := result.Asks
		if result.Detail != "" {
			asks += ": " + result.Detail
		}
		fmt.Fprintf(t, "%s\t%s\t%.1fs\t%s\n", result.Name, result.Outcome, result.Took.Seconds(), asks)
	}
	_ = t.Flush() // to a strings.Builder
	fmt.Fprintf(&text, "%d passed, %d failed, %d known failures, %d not run",
		r.Count(Passed), r.Count(Failed), r.Count(Known), r.Count(NotRun))
	return text.String()
}
