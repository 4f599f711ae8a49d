/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package controllers

import (
	"errors"
	"fmt"
	"testing"
	"time"

	clocktesting "k8s.io/utils/clock/testing"

	"github.com/mongolock/operator/api/v1alpha1"
	"github.com/mongolock/operator/pkg/mongolock"
)

// A short failure is not an outage, a long one is one, and only a success ends it.
func TestHealthTracker(t *testing.T) {
	down := fmt.Errorf("%w: no server", mongolock.ErrUnreachable)
	denied := fmt.Errorf("%w: password", mongolock.ErrUnauthorized)
	clk := clocktesting.NewFakeClock(t0)
	tracker := newHealthTracker(clk)
	var since time.Time
	steps := []struct {
		after  time.Duration
		err    error
		synced bool
		want   Health
	}{
		{0, nil, false, Health{Phase: Settling}},
		{time.Minute, nil, false, Health{Phase: Settling}}, // reading a large collection is no outage
		{time.Second, nil, true, Health{Phase: Healthy}},
		{time.Second, down, true, Health{Phase: Settling}},
		{time.Second, nil, true, Health{Phase: Healthy}},
		{4 * time.Second, down, true, Health{Phase: Settling}},
		{time.Second, down, true, Health{Phase: Failed, Reason: v1alpha1.ReasonStoreUnreachable, Outage: 1}},
		{time.Hour, down, true, Health{Phase: Failed, Reason: v1alpha1.ReasonStoreUnreachable, Outage: 1}},
		{time.Second, denied, true, Health{Phase: Failed, Reason: v1alpha1.ReasonStoreUnauthorized, Outage: 1}},
		{time.Second, nil, false, Health{Phase: Failed, Reason: v1alpha1.ReasonStoreUnauthorized, Outage: 1}},
		{time.Second, nil, true, Health{Phase: Healthy, Outage: 1}},
		{patience, down, true, Health{Phase: Failed, Reason: v1alpha1.ReasonStoreUnreachable, Outage: 2}},
		// A server that refuses and is slow besides has one reason.
		{time.Second, nil, true, Health{Phase: Healthy, Outage: 2}},
		{time.Second, denied, true, Health{Phase: Settling, Outage: 2}},
		{patience, down, true, Health{Phase: Failed, Reason: v1alpha1.ReasonStoreUnauthorized, Outage: 3}},
		{time.Second, denied, true, Health{Phase: Failed, Reason: v1alpha1.ReasonStoreUnauthorized, Outage: 3}},
		{verdictLasts - time.Second, down, true, Health{Phase: Failed, Reason: v1alpha1.ReasonStoreUnauthorized, Outage: 3}},
		{time.Second, down, true, Health{Phase: Failed, Reason: v1alpha1.ReasonStoreUnreachable, Outage: 3}},
		{time.Second, nil, true, Health{Phase: Healthy, Outage: 3}},
		{patience, down, true, Health{Phase: Failed, Reason: v1alpha1.ReasonStoreUnreachable, Outage: 4}},
	}
	for i, s := range steps {
		clk.Step(s.after)
		before := tracker.health
		if s.want.Failed() { // for as long as it lasts
			if s.want.Outage != before.Outage {
				since = tracker.since
			}
			s.want.Since = since
		}
		if changed := tracker.observe(s.err, s.synced); changed != (before != s.want) || tracker.health != s.want {
			t.Errorf("step %d: health %+v, changed %t; want %+v", i, tracker.health, changed, s.want)
		}
	}
}

func TestStoreReason(t *testing.T) {
	for err, want := range map[error]string{
		mongolock.ErrUnreachable:       v1alpha1.ReasonStoreUnreachable,
		mongolock.ErrOutcomeUnknown:    v1alpha1.ReasonStoreUnreachable,
		mongolock.ErrUnauthorized:      v1alpha1.ReasonStoreUnauthorized,
		mongolock.ErrUnsupportedServer: v1alpha1.ReasonStoreUnsupported,
		errors.New("code 59"):          v1alpha1.ReasonStoreUnsupported,
	} {
		if got := storeReason(fmt.Errorf("look: %w", err)); got != want || storeMessages[got] == "" {
			t.Errorf("%v is %s with message %q, want %s", err, got, storeMessages[got], want)
		}
	}
}
