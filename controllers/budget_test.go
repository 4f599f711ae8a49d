/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package controllers

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/mongolock/operator/pkg/mongolock"
)

// A busy lock has no more events than the budget of its object, and what is left out is summed up.
func TestBusyLockIsSummedUp(t *testing.T) {
	clk := clocktesting.NewFakeClock(t0)
	recorder := events.NewFakeRecorder(1000)
	r := &Reconciler{recorder: recorder, budget: newEventBudget(clk)}
	lock := newLock("")
	const seconds, rate = 60, 10
	var seq int64
	for range seconds * rate {
		seq++
		r.reportTransition(lock, transition(seq, mongolock.EventAcquired, "a", seq))
		clk.Step(time.Second / rate)
	}
	clk.Step(2 * time.Second)
	seq++
	r.reportTransition(lock, transition(seq, mongolock.EventAcquired, "a", seq))
	close(recorder.Events)
	var emitted, told, summedUp int
	for e := range recorder.Events {
		emitted++
		var n int
		if _, note, ok := strings.Cut(e, "MoreTransitions "); ok {
			if _, err := fmt.Sscanf(note, "%d more transitions", &n); err != nil {
				t.Errorf("%q: %v", e, err)
			}
			summedUp += n
			continue
		}
		told++
	}
	if most := objectEventBurst + (seconds+2)*objectEventRate; emitted > most || told < objectEventBurst {
		t.Errorf("%d events for %d transitions, want %d to %d", emitted, seq, objectEventBurst, most)
	}
	if told+summedUp != int(seq) {
		t.Errorf("%d told and %d summed up, of %d", told, summedUp, seq)
	}
}

// A lock that changes less than once a second has an event for each change.
func TestCalmLockIsToldInFull(t *testing.T) {
	clk := clocktesting.NewFakeClock(t0)
	b := newEventBudget(clk)
	for i := range 1000 {
		if _, ok := b.take("uid", true); !ok {
			t.Fatalf("event %d was left out", i)
		}
		clk.Step(time.Second)
	}
}

// Many objects together have no more events than the budget of the process.
func TestProcessBudget(t *testing.T) {
	clk := clocktesting.NewFakeClock(t0)
	b := newEventBudget(clk)
	granted := func() (n int) {
		for i := range 1000 {
			if _, ok := b.take(types.UID(fmt.Sprint(i)), true); ok {
				n++
			}
		}
		return n
	}
	if n := granted(); n != processEventBurst {
		t.Errorf("%d events at once, want %d", n, processEventBurst)
	}
	clk.Step(time.Second)
	if n := granted(); n != processEventRate {
		t.Errorf("%d events a second later, want %d", n, processEventRate)
	}
	// What is left out is not summed up lock by lock: that would be as many events.
	for i := range 1000 {
		if skipped, again := b.settle(types.UID(fmt.Sprint(i))); skipped > 0 || again {
			t.Fatalf("lock %d: %d left out, again %t", i, skipped, again)
		}
	}
}
