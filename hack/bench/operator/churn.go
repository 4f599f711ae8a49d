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
	"math"

	"github.com/mongolock/operator/hack/bench/gauge"
)

// leastMade is the share of the planned transitions without which the pace was not the planned one.
const leastMade = 0.95

// leastForP99 is how many samples a p99 needs: with fewer it is the maximum.
const leastForP99 = 100

// churning is what became of the transitions.
type churning struct {
	window          // while they were made
	Made    int     `json:"transitions"`
	Skipped int64   `json:"skipped"` // as too many were under way
	Failed  int64   `json:"failed"`
	P50     float64 `json:"p50_ms"`
	P99     float64 `json:"p99_ms"`
	Max     float64 `json:"max_ms"`
	// Behind is how many transitions no status had told of when the last one was made, Queue how many objects waited for a reconcile then,
	// and Drain how long it took until the last was told of.
	Behind int      `json:"behind_at_end"`
	Queue  *float64 `json:"queue_at_end"`
	Drain  float64  `json:"drain_s"`
	// Written are the writes from the first transition until the statuses told of the last one.
	Written writes `json:"written"`
}

// transitions has locks change hands, and looks when the statuses tell of it.
func (b *bench) transitions(ctx context.Context, r *result) error {
	b.rest(ctx)
	b.screen.Say("  transitions: %d a second, for %s", b.plan.Rate, b.plan.churn)
	defer b.screen.During(ctx, "changing")()
	before, err := b.tally(ctx)
	if err != nil {
		return err
	}
	stop := b.observer.record()
	c := &churning{}
	var made []transition
	w, err := b.during(ctx, func() (err error) {
		made, c.Skipped, c.Failed, err = b.crew.churn(ctx, b.plan.Rate, b.plan.churn)
		if o := b.own(ctx); o != nil {
			c.Queue = &o.Queue
		}
		return err
	})
	if err != nil {
		return err
	}
	c.window, c.Made = *w, len(made)
	if c.Made == 0 {
		return fmt.Errorf("no transition was made, %d failed", c.Failed)
	}
	if err := b.drain(ctx, c, made); err != nil {
		return err
	}
	after, err := b.tally(ctx)
	if err != nil {
		return err
	}
	c.Written = after.writes.since(before.writes)
	return b.conclude(ctx, r, c, made, stop())
}

// drain waits until the statuses tell of all transitions.
func (b *bench) drain(ctx context.Context, c *churning, made []transition) error {
	last := made[0].at
	for _, t := range made {
		last = max(last, t.at)
	}
	at, err := b.observer.await(ctx, settleTime+patience(c.Made), "the statuses tell of all transitions",
		func() bool { return b.observer.shows(made) })
	c.Drain = max(seconds(at-last), 0)
	return err
}

// conclude computes the figures, and compares all statuses with MongoDB.
func (b *bench) conclude(ctx context.Context, r *result, c *churning, made []transition, seen sightings) error {
	took, unseen := seen.match(made)
	if unseen > 0 {
		return fmt.Errorf("of %d transitions no status was seen that tells of them", unseen)
	}
	end := made[0].at
	for _, t := range made {
		end = max(end, t.at)
	}
	c.P50, c.P99, c.Max = gauge.Round(took.P50()), gauge.Round(took.P99()), gauge.Round(gauge.Milliseconds(took.Quantile(1)))
	c.Behind = seen.behind(made, end)
	r.Transitions = c
	b.screen.Say("  %d transitions: p50 %.0f ms, p99 %.0f ms, %d behind at the end, all told of %.1f s later", c.Made, c.P50, c.P99, c.Behind, c.Drain)
	if err := b.agree(ctx, r.Objects); err != nil {
		return err
	}
	if _, _, err := b.crew.all(ctx, "whole"); err != nil {
		return err
	}
	if _, err := b.observer.awaitAll(ctx, settleTime+patience(c.Made), "all objects show Held again", held, r.Objects); err != nil {
		return err
	}
	if planned := float64(b.plan.Rate) * b.plan.churn.Seconds(); float64(c.Made) < leastMade*planned {
		return fmt.Errorf("%w: %d transitions were made instead of %.0f (%d skipped, %d failed)", errSlow, c.Made, planned, c.Skipped, c.Failed)
	}
	perTransition := math.Round(c.Written.Status/float64(c.Made)*1000) / 1000
	r.P50, r.PerTransition = &c.P50, &perTransition
	if c.Made >= leastForP99 {
		r.P99 = &c.P99
	}
	return nil
}
