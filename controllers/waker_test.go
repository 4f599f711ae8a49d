/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package controllers

import (
	"fmt"
	"testing"
	"time"

	"github.com/go-logr/logr"
	clocktesting "k8s.io/utils/clock/testing"
)

// A calm lock is looked at at once, a busy one once in a window.
func TestPace(t *testing.T) {
	clk := clocktesting.NewFakeClock(t0)
	w := newWaker(nil, clk, logr.Discard())
	const ms = time.Millisecond
	for _, step := range []struct{ at, wait int }{
		{0, 0}, {10, 90}, {50, 50}, {99, 1}, {100, 100}, {150, 50}, {199, 1}, {350, 0}, {449, 1}, {550, 0}, {650, 0}, {651, 99},
	} {
		clk.SetTime(t0.Add(time.Duration(step.at) * ms))
		if got := w.pace("a"); got != time.Duration(step.wait)*ms {
			t.Errorf("at %d ms it waits %s, want %d ms", step.at, got, step.wait)
		}
		if got := w.pace(fmt.Sprint("other-", step.at)); got != 0 {
			t.Errorf("another lock waits %s", got)
		}
	}
	for i := range 10 * manyRecent {
		w.pace(fmt.Sprint(i))
		clk.Step(time.Millisecond)
	}
	if n := len(w.recent); n > manyRecent+1 {
		t.Errorf("%d locks are remembered", n)
	}
}
