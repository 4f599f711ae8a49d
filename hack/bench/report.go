//go:build linux

/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package main

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"

	"github.com/mongolock/operator/hack/bench/gauge"
)

// report is engine.json. What could not be measured is not in it.
type report struct {
	Ratio       map[string]float64        `json:"ratio"`
	Absolute    map[string]map[string]any `json:"absolute"`
	Environment map[string]string         `json:"environment"`
	Samples     map[string]map[string]int `json:"samples"`
}

// spread is what is told of samples.
type spread struct {
	P50 float64 `json:"p50_ms"`
	P99 float64 `json:"p99_ms"`
}

// measurement is a set under its name.
type measurement struct {
	key, title string
	set        set
}

func (b *bench) measurements() []measurement {
	return []measurement{
		{"cycle", "acquire and release a free lock", b.cycle},
		{"denied", "be refused a lock that is held", b.denied},
		{"handoff", "from a release to the waiter", b.handOff},
		{"scale", "from a release to the next of the waiting clients", b.scale},
	}
}

func (b *bench) report() report {
	r := report{
		Ratio: map[string]float64{}, Absolute: map[string]map[string]any{},
		Environment: b.about, Samples: map[string]map[string]int{},
	}
	for key, value := range b.ratios() {
		if !math.IsNaN(value) {
			r.Ratio[key] = gauge.Round(value)
		}
	}
	for _, m := range b.measurements() {
		figures, counts := map[string]any{}, map[string]int{}
		for _, name := range m.set.names {
			s := m.set.byName[name]
			if counts[name] = len(s); len(s) > 0 {
				figures[name] = spread{P50: gauge.Round(s.P50()), P99: gauge.Round(s.P99())}
			}
		}
		r.Absolute[m.key], r.Samples[m.key] = figures, counts
	}
	r.Samples["scale_not_queued"] = b.overtaken
	throughput := map[string]any{}
	for name, value := range b.throughput {
		throughput[name] = gauge.Round(value)
	}
	r.Absolute["throughput_per_second"] = throughput
	r.Absolute["held_lease"] = map[string]any{
		"heap_bytes": gauge.Round(b.renewal.heap), "resident_bytes": gauge.Round(b.renewal.resident),
		"goroutines": gauge.Round(b.renewal.goroutines),
	}
	r.Absolute["renewal"] = map[string]any{
		"leases": b.renewal.leases, "commands_per_round": gauge.Round(b.renewal.commands), "cpu_percent": gauge.Round(b.renewal.cpuPercent),
	}
	return r
}

func (r report) write(folder string) (string, error) {
	path := filepath.Join(folder, "engine.json")
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return "", err
	}
	return path, os.WriteFile(path, append(text, '\n'), 0o644)
}

// times is the table of all contenders.
func (b *bench) times() string {
	var text strings.Builder
	w := tabwriter.NewWriter(&text, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "WHAT\tWHO\tP50 MS\tP99 MS\tSAMPLES\t")
	for _, m := range b.measurements() {
		for _, name := range m.set.names {
			s := m.set.byName[name]
			fmt.Fprintf(w, "%s\t%s\t%.2f\t%.2f\t%d\t\n", m.key, name, s.P50(), s.P99(), len(s))
		}
	}
	_ = w.Flush()
	return text.String()
}

// others are the figures that are no times.
func (b *bench) others() string {
	var text strings.Builder
	w := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	for _, c := range b.contenders {
		if value, there := b.throughput[c.name]; there {
			fmt.Fprintf(w, "throughput of %s\t%.0f acquired and released per second, %d at a time\n", c.name, value, b.plan.goroutines)
		}
	}
	for _, name := range b.scale.names {
		if n := b.overtaken[name]; n > 0 {
			fmt.Fprintf(w, "scale, %s\t%d grants went to a client that had not waited yet; they are no samples\n", name, n)
		}
	}
	r := b.renewal
	fmt.Fprintf(w, "leases\t%d of %s, held for %s\n", r.leases, heldLease, b.plan.renewWindow)
	fmt.Fprintf(w, "a held lease\t%.0f bytes of heap, %.0f bytes resident, %.4f goroutines\n", r.heap, r.resident, r.goroutines)
	fmt.Fprintf(w, "a round of renewals\t%.1f commands of the client: %s\n", r.commands, r.detail)
	_ = w.Flush()
	return text.String()
}
