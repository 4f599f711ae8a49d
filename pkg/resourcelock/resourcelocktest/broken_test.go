/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package resourcelocktest_test

import (
	"testing"

	"github.com/mongolock/operator/pkg/resourcelock/resourcelocktest"
)

// TestMemory: a lock in memory that does everything right passes, so that what the kit finds in those below is their flaw.
func TestMemory(t *testing.T) {
	report := resourcelocktest.Run(t, memoryBackend(none))
	if left := len(report) - report.Count(resourcelocktest.Passed); left != 0 {
		t.Errorf("%d scenarios did not pass\n%s", left, report)
	}
}

// TestBroken: locks that are broken in one way fail where that matters, and nowhere else.
func TestBroken(t *testing.T) {
	for name, test := range map[string]struct {
		flaw   flaw
		caught []string
	}{
		"takes the record back in silence": {reacquires, []string{"S7-deleted", "S7-forced", "S8-deleted", "S8-forced", "S17"}},
		"empties another's record":         {clobbers, []string{"S5", "S6"}},
		"waits for ever in Get": {hangs, []string{
			"S1", "S4", "S5", "S9", "S11", "S12", "S20", "V1", "V2", "V4-long", "V5", "V5-unbounded",
		}},
		"has no clock and no timeout":       {patient, []string{"S8-blackhole", "S8-stuck", "S9", "V5-unbounded"}},
		"takes a record by the name":        {vain, []string{"S11"}},
		"leaves a goroutine with each term": {leaky, []string{"E7"}},
		"begins anew with its tokens":       {recounts, []string{"S4", "S8-deleted"}}, // S8: its token is the successor's, too
	} {
		t.Run(name, func(t *testing.T) {
			report := resourcelocktest.Run(t, memoryBackend(test.flaw), test.caught...)
			if n := report.Count(resourcelocktest.NotRun); n != 0 {
				t.Errorf("%d scenarios were not run", n)
			}
			t.Logf("a lock that %s\n%s", name, report)
		})
	}
}
