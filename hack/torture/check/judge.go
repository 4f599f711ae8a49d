//go:build linux

/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

// Package check judges a history: did the locks keep what they promise? It sees nothing but the history.
package check

import (
	"fmt"
	"time"

	"github.com/mongolock/operator/hack/torture/history"
)

// Rules is what a run was set up with.
type Rules struct {
	// Capacity is that of the locks that are shared; of all others it is 1.
	Capacity map[string]int
	// Audited tells that the history has looks and events. Without, what they serve for is not checked.
	Audited bool
	// RetryPeriod is that of the waiters.
	RetryPeriod time.Duration
	// Floor is how many operations a second there have to be outside of outages.
	Floor float64
	// Faults are the kinds that should have fired, Checks those that should have had something to look at.
	Faults, Checks []string
	// Patience bounds the search for a linearization of one lock's history.
	Patience time.Duration
}

// Violation is a promise that was not kept, or a run that proves nothing.
type Violation struct {
	// Check is the check that found it.
	Check string `json:"check"`
	Lock  string `json:"lock,omitempty"`
	Text  string `json:"text"`
	// From and To are the smallest window of the history that shows it.
	From history.Stamp `json:"from,omitempty"`
	To   history.Stamp `json:"to,omitempty"`
}

// Unknown counts the outcomes that nobody was told, and what became of them.
type Unknown struct {
	Total      int `json:"total"`
	Applied    int `json:"applied"`
	NotApplied int `json:"not_applied"`
	Unresolved int `json:"unresolved"`
}

// Verdict is what all checks together found.
type Verdict struct {
	Violations []Violation `json:"violations"`
	// Linearizable is told of each lock.
	Linearizable    map[string]bool `json:"linearizable"`
	Unknown         Unknown         `json:"unknown_outcomes"`
	Operations      int             `json:"operations"`
	MinOpsPerSecond float64         `json:"min_ops_per_second"`
	OpsPerSecond    float64         `json:"ops_per_second"` // outside of outages
	Faults          map[string]int  `json:"faults"`         // hits by kind
	// Checked counts, by check, what was looked at: a check that looked at nothing proves nothing.
	Checked map[string]int `json:"checked"`
}

// Judge judges a history.
func Judge(h *history.History, rules Rules) Verdict {
	j := newJudge(h, rules)
	j.exclusion()
	j.tokens()
	j.deadlines()
	j.resource()
	if rules.Audited {
		j.checkLogs()
		j.claims()
		j.watchers()
		j.fifo()
		j.wakeups()
	}
	j.linearizability()
	j.faults()
	j.floor()
	j.leftovers()
	j.proved()
	for check, n := range j.found {
		if n > listed {
			j.verdict.Violations = append(j.verdict.Violations, Violation{Check: check, Text: fmt.Sprintf("and %d more", n-listed)})
		}
	}
	return j.verdict
}
