//go:build linux

/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/mongolock/operator/hack/torture/check"
	"github.com/mongolock/operator/hack/torture/plan"
)

// report is what a run found, as it is written to report.json.
type report struct {
	Passed   bool   `json:"passed"`
	Seed     uint64 `json:"seed"`
	Duration string `json:"duration"`
	// Violations counts the findings.
	Violations int `json:"violations"`
	// Findings are all that stand behind the number; at most some of each kind.
	Findings []check.Violation `json:"findings,omitempty"`
	Controls map[string]bool   `json:"controls_caught"` // by name; empty when they were left out
	check.Verdict
	// Twins is how many acquisitions used an owner's name that others used too.
	Twins int `json:"-"`
}

// conclude completes the report.
func (r *report) conclude() {
	r.Faults[plan.Twin] = r.Twins
	r.Violations, r.Findings = len(r.Verdict.Violations), r.Verdict.Violations
	r.Passed = r.Violations == 0
	for _, caught := range r.Controls {
		r.Passed = r.Passed && caught
	}
}

func (r *report) write(path string) error {
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(text, '\n'), 0o644)
}

// table is the report for people.
func (r *report) table() string {
	var text strings.Builder
	t := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	row := func(name, format string, args ...any) { fmt.Fprintf(t, "%s\t%s\n", name, fmt.Sprintf(format, args...)) }
	row("seed", "%d, %s", r.Seed, r.Duration)
	row("operations", "%d, %.0f a second outside of outages, %.0f in the worst ten seconds of that", r.Operations, r.OpsPerSecond, r.MinOpsPerSecond)
	row("unknown outcomes", "%d: %d had happened, %d had not, %d unresolved", r.Unknown.Total, r.Unknown.Applied, r.Unknown.NotApplied, r.Unknown.Unresolved)
	for _, name := range slices.Sorted(maps.Keys(r.Controls)) {
		row("control "+name, "%s", map[bool]string{true: "caught", false: "NOT CAUGHT"}[r.Controls[name]])
	}
	row("faults", "%s", counts(r.Faults))
	row("checked", "%s", counts(r.Checked))
	linearizable := 0
	for _, ok := range r.Linearizable {
		if ok {
			linearizable++
		}
	}
	row("linearizable", "%d of %d locks", linearizable, len(r.Linearizable))
	row("violations", "%d", r.Violations)
	_ = t.Flush() // to a strings.Builder
	for _, v := range r.Findings {
		fmt.Fprintf(&text, "  %s %s: %s\n", v.Check, v.Lock, v.Text)
	}
	text.WriteString(map[bool]string{true: "PASSED", false: "FAILED"}[r.Passed])
	return text.String()
}

func counts(of map[string]int) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(of)) {
		parts = append(parts, fmt.Sprintf("%s %d", name, of[name]))
	}
	return strings.Join(parts, ", ")
}
