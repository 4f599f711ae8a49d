/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package resourcelocktest

import (
	"errors"
	"fmt"
	"testing"
)

// TestOutcome: only a breach is the failure that was announced.
func TestOutcome(t *testing.T) {
	late := errors.New("the first election was late")
	for name, test := range map[string]struct {
		err   error
		known bool
		want  Outcome
	}{
		"nothing found":                       {nil, false, Passed},
		"a breach":                            {breach("two lead"), false, Failed},
		"a breach, told by something else":    {fmt.Errorf("the take-over: %w", broken(late)), false, Failed},
		"not carried out":                     {late, false, Failed},
		"not run":                             {errNotRun, false, NotRun},
		"known, and nothing found":            {nil, true, Failed},
		"known, and a breach":                 {breach("two lead"), true, Known},
		"known, and a breach by another name": {fmt.Errorf("the take-over: %w", broken(late)), true, Known},
		"known, and not carried out":          {late, true, Failed},
		"known, and not run":                  {errNotRun, true, Failed},
	} {
		if got := outcome(test.err, test.known); got != test.want {
			t.Errorf("%s: %s, want %s", name, got, test.want)
		}
	}
}
