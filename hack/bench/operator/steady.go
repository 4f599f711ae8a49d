//go:build linux

/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package main

import (
	"context"
	"fmt"

	"github.com/mongolock/operator/hack/task"
)

// leastRenewals is the share of the expected renewals without which nothing was measured.
const leastRenewals = 0.8

// steady watches for a while in which nothing happens but renewals.
func (b *bench) steady(ctx context.Context, r *result) error {
	b.rest(ctx)
	b.screen.Say("  steady: renewals only, for %s", b.plan.steady)
	defer b.screen.During(ctx, "watching")()
	w, err := b.during(ctx, func() error {
		task.Wait(ctx, b.plan.steady)
		return context.Cause(ctx)
	})
	if err != nil {
		return err
	}
	r.Steady = w
	expected := float64(r.Objects) * w.Seconds / renewal.Seconds()
	switch {
	case float64(w.Renewals) < leastRenewals*expected:
		return fmt.Errorf("%w: %d renewals, want about %.0f", errSlow, w.Renewals, expected)
	case w.Reconciles == nil:
		return fmt.Errorf("the operator did not answer")
	case *w.OwnWrites > w.all():
		// Of some other kind; the API server makes such itself, so they cannot be told apart there.
		return fmt.Errorf("the operator sent %.0f writes, the API server knows of %.0f for objects and events", *w.OwnWrites, w.all())
	}
	b.screen.Say("  %d renewals, %.0f writes to the API server, %.0f reconciles", w.Renewals, w.all(), *w.Reconciles)
	if b.plan.steady == fullWindow {
		all := w.all()
		r.SteadyWrites, r.SteadyReconciles = &all, w.Reconciles
	}
	return nil
}
