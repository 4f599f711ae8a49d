//go:build linux

/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package main

// The results of a target.
const (
	aimMet      = "met, and the aim"
	met         = "met"
	missed      = "MISSED"
	notMeasured = "not measured"
	notQuick    = "not in a quick run"
)

// target is what a figure must reach, and what it aims at: at most so much.
type target struct {
	key, what string
	must, aim float64
	below     bool // the aim is anything below
	of        func(*figures) *float64
}

var targets = []target{
	{"steady_api_writes_60s", "writes in 60 s of nothing but renewals", 0, 0, false, func(f *figures) *float64 { return f.SteadyWrites }},
	{"steady_reconciles_60s", "reconciles meanwhile", 10, 0, false, func(f *figures) *float64 { return f.SteadyReconciles }},
	{"transition_to_status_p50_ms", "from the client's return to the status", 500, 300, false, func(f *figures) *float64 { return f.P50 }},
	{"transition_to_status_p99_ms", "the same", 1500, 800, false, func(f *figures) *float64 { return f.P99 }},
	{"status_writes_per_transition", "status writes over transitions", 1, 1, true, func(f *figures) *float64 { return f.PerTransition }},
	{"restart_to_ready_s", "process start to ready, leading, all read", 15, 5, false, func(f *figures) *float64 { return f.RestartReady }},
	{"restart_api_writes", "writes of the new process in its first 30 s, but for the election", 0, 0, false, func(f *figures) *float64 { return f.RestartWrites }},
	{"rss_mib", "most memory of the operator in all phases", 250, 120, false, func(f *figures) *float64 { return f.RSS }},
	{"outage_writes_per_object", "status writes of a 30 s outage over objects", 2, 2, false, func(f *figures) *float64 { return f.PerObject }},
}

// verdict is a figure beside its target.
type verdict struct {
	Key    string   `json:"key"`
	Value  *float64 `json:"value"`
	Must   float64  `json:"must"`
	Aim    float64  `json:"aim"`
	Result string   `json:"result"`
}

func (t target) verdict(value *float64) string {
	switch {
	case value == nil:
		return notMeasured
	case *value < t.aim, *value == t.aim && !t.below:
		return aimMet
	case *value <= t.must:
		return met
	}
	return missed
}

// judge compares the figures with their targets.
func (r *report) judge() []verdict {
	var all []verdict
	for _, t := range targets {
		value := t.of(&r.figures)
		v := verdict{t.key, value, t.must, t.aim, t.verdict(value)}
		if value == nil && r.Plan.Quick && (t.key == "steady_api_writes_60s" || t.key == "steady_reconciles_60s") {
			v.Result = notQuick
		}
		all = append(all, v)
	}
	return all
}
