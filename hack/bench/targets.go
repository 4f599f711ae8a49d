//go:build linux

/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package main

import (
	"fmt"
	"math"
	"strings"
	"text/tabwriter"

	"github.com/mongolock/operator/hack/bench/gauge"
)

// target is what a figure must reach and what it aims at.
type target struct {
	key, what string
	must, aim float64
	atLeast   bool // otherwise at most
}

var targets = []target{
	{key: "cycle_vs_floor", what: "TryLock + Unlock over the floor's two commands, p50", must: 1.25, aim: 1.10},
	{key: "cycle_vs_mongo_dlock", what: "the same over mongo-dlock's lock + unlock", must: 0.80, aim: 0.65},
	{key: "denied_vs_floor", what: "a refused TryLock over the floor's FindOneAndUpdate, p50", must: 1.20, aim: 1.00},
	{key: "handoff_vs_mongo_dlock", what: "Unlock to the waiter's return over mongo-dlock's, p50", must: 0.02, aim: 0.005},
	{key: "renew_commands_10000", what: "commands of one round of renewals", must: 25, aim: 20},
	{key: "renew_cpu_percent_10000", what: "of one processor, with leases of 15 s", must: 5, aim: 2},
	{key: "scale_100_waiters", what: "hand-off with 100 waiting clients over that with 1, p50", must: 2, aim: 1.2},
	{key: "throughput_64", what: "acquire + release per second over the floor's, 64 at a time", must: 0.75, aim: 0.95, atLeast: true},
}

const missedVerdict = "MISSED"

// verdict says whether a value reaches the target. What could not be measured does not.
func (t target) verdict(value float64) string {
	reaches := func(goal float64) bool {
		if t.atLeast {
			return value >= goal
		}
		return value <= goal
	}
	switch {
	case math.IsNaN(value):
		return "not measured"
	case reaches(t.aim):
		return "met, and the aim"
	case reaches(t.must):
		return "met"
	}
	return missedVerdict
}

func (t target) goal(x float64) string {
	if t.atLeast {
		return fmt.Sprintf(">= %g", x)
	}
	return fmt.Sprintf("<= %g", x)
}

// leastSamples is how many make a figure.
const leastSamples = 20

// ratios computes the figures that have targets; NaN where a part is missing.
func (b *bench) ratios() map[string]float64 {
	over := func(x, y float64) float64 {
		if x == 0 || y == 0 {
			return math.NaN()
		}
		return x / y
	}
	p50 := func(s set, name string) float64 {
		if len(s.byName[name]) < leastSamples {
			return 0
		}
		return s.byName[name].P50()
	}
	ratio := map[string]float64{
		"cycle_vs_floor":          over(p50(b.cycle, mongolockName), p50(b.cycle, floorName)),
		"cycle_vs_mongo_dlock":    over(p50(b.cycle, mongolockName), p50(b.cycle, dlockName)),
		"denied_vs_floor":         over(p50(b.denied, mongolockName), p50(b.denied, floorName)),
		"handoff_vs_mongo_dlock":  over(p50(b.handOff, mongolockName), p50(b.handOff, dlockName)),
		"renew_commands_10000":    math.NaN(),
		"renew_cpu_percent_10000": math.NaN(),
		"scale_100_waiters":       over(p50(b.scale, b.manyName), p50(b.scale, b.fewName)),
		"throughput_64":           over(b.throughput[mongolockName], b.throughput[floorName]),
	}
	if b.renewal.leases == fullPlan().leases { // a quick run holds fewer
		ratio["renew_commands_10000"], ratio["renew_cpu_percent_10000"] = b.renewal.commands, b.renewal.cpuPercent
	}
	return ratio
}

// judgement is the table of figures and targets, how many were missed, and how many are unknown that should not be.
func (b *bench) judgement() (table string, missed, unknown int) {
	var text strings.Builder
	w := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "KEY\tVALUE\tMUST\tAIM\tVERDICT\tWHAT")
	ratio := b.ratios()
	for _, t := range targets {
		value := ratio[t.key]
		verdict := t.verdict(value)
		switch {
		case math.IsNaN(value) && b.plan.quick && strings.HasSuffix(t.key, "_10000"):
			verdict = "not in a quick run"
		case math.IsNaN(value):
			unknown++
		case verdict == missedVerdict:
			missed++
		}
		fmt.Fprintf(w, "%s\t%g\t%s\t%s\t%s\t%s\n", t.key, gauge.Round(value), t.goal(t.must), t.goal(t.aim), verdict, t.what)
	}
	_ = w.Flush()
	return text.String(), missed, unknown
}
