//go:build linux

/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// raced is a report of one fault, of which all contenders took as long.
func raced(f fault, trials int, took time.Duration) *report {
	r := newReport(quickPlan())
	for _, lock := range contenders {
		for range trials {
			r.add(f.name, short, lock, sample{took: &took}, nil)
		}
	}
	return &r
}

func TestNotMeasuredIsNull(t *testing.T) {
	for trials, isNull := range map[int]bool{leastForP95 - 1: true, leastForP95: false} {
		text, err := json.Marshal(raced(sigterm, trials, time.Second).find("sigterm", short, lease))
		if err != nil {
			t.Fatal(err)
		}
		for part, want := range map[string]bool{
			`"p50_ms":1000`: true, `"p95_ms":null`: isNull, `"overlaps":0`: true, `"late_writes":null`: true, `"restarts":null`: true,
		} {
			if got := strings.Contains(string(text), part); got != want {
				t.Errorf("%d trials: %s: %t, want %t: %s", trials, part, got, want, text)
			}
		}
	}
}

func TestFailedTrialMissesItsTarget(t *testing.T) {
	r := raced(blackhole, 2, time.Second)
	r.add("blackhole", short, mongoFast, sample{overlap: overlap{found: true}}, errors.New("lost sight"))
	c := r.find("blackhole", short, mongoFast)
	if c.N != 2 || c.Failed != 1 || *c.Overlaps != 1 || r.failed() != 1 {
		t.Errorf("%+v, want two trials, and one that failed with an overlap", c)
	}
	r.judge()
	results := map[string]string{}
	for _, goal := range r.Targets {
		results[goal.Name] = goal.Result
	}
	for name, want := range map[string]string{
		"black hole, lease 5s, mongo-fast: no overlap":    missed,
		"black hole, lease 5s, mongo-strict: no overlap":  reached,
		"black hole, lease 15s, mongo-strict: no overlap": unknown,
	} {
		if results[name] != want {
			t.Errorf("%s: %q, want %q", name, results[name], want)
		}
	}
}

func TestPlot(t *testing.T) {
	for name, r := range map[string]*report{"bars": raced(kill, 1, time.Second), "less than a millisecond": raced(kill, 1, time.Microsecond)} {
		file := filepath.Join(t.TempDir(), "failover.svg")
		if err := r.plot(file); err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Contains(text, []byte("</svg>")) || bytes.Contains(text, []byte("NaN")) {
			t.Errorf("%s: no complete SVG", name)
		}
	}
}
