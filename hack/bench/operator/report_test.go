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
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// measured is a report of two sizes, of which only the smaller was carried.
func measured() *report {
	p50, p99, rss, none := 200.0, 900.0, 64.0, 0.0
	small := &result{Objects: 100, Carried: true, Transitions: &churning{P50: p50, P99: p99}}
	small.figures = figures{SteadyWrites: &none, P50: &p50, P99: &p99, RSS: &rss}
	large := &result{Objects: 1000, Reason: "too much"}
	large.figures = figures{SteadyWrites: &rss, RestartWrites: &none}
	r := &report{Plan: &plan{Sizes: []int{100, 1000}}, Sizes: []*result{small}}
	r.conclude()
	r.Sizes = append(r.Sizes, large)
	return r
}

func TestFiguresAreThoseOfTheLargestSize(t *testing.T) {
	r := measured()
	// While the largest was not measured, a smaller one does not stand in for it.
	for _, v := range r.Targets {
		if v.Value != nil || v.Result != notMeasured {
			t.Errorf("%+v before the largest size, want null", v)
		}
	}
	r.conclude()
	want := map[string]string{"steady_api_writes_60s": missed, "restart_api_writes": aimMet, "rss_mib": notMeasured}
	for _, v := range r.Targets {
		if result, ok := want[v.Key]; ok && v.Result != result {
			t.Errorf("%s: %s, want %s", v.Key, v.Result, result)
		}
	}
	text, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(text, []byte(`"restart_api_writes":0`)) || !bytes.Contains(text, []byte(`"rss_mib":null`)) {
		t.Errorf("want a figure, and null for what was not measured: %s", text)
	}
	if table := r.table(); !strings.Contains(table, "1000 objects NOT CARRIED: too much") {
		t.Errorf("the table does not tell of the size that was not carried:\n%s", table)
	}
}

func TestVerdict(t *testing.T) {
	atMost := target{must: 10, aim: 1}
	below := target{must: 1, aim: 1, below: true}
	for _, tt := range []struct {
		target target
		value  float64
		want   string
	}{
		{atMost, 1, aimMet}, {atMost, 1.1, met}, {atMost, 10, met}, {atMost, 10.1, missed},
		{below, 0.99, aimMet}, {below, 1, met}, {below, 1.01, missed},
	} {
		if got := tt.target.verdict(&tt.value); got != tt.want {
			t.Errorf("%g of %+v: %s, want %s", tt.value, tt.target, got, tt.want)
		}
	}
}

func TestPlot(t *testing.T) {
	file := filepath.Join(t.TempDir(), "operator.svg")
	if err := measured().plot(file); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(text, []byte("</svg>")) || bytes.Contains(text, []byte("NaN")) {
		t.Error("no complete SVG")
	}
}

func TestMachineIsBlamedOnlyIfItWasBusy(t *testing.T) {
	for _, tt := range []struct {
		failed error
		busy   float64
		limit  bool
	}{
		{fmt.Errorf("%w: not within a minute", errSlow), 0.95, true},
		{fmt.Errorf("%w: not within a minute", errSlow), 0.5, false},
		{errors.New("3 statuses do not agree"), 0.95, false},
	} {
		err := blame("fill", tt.failed, load{Busy: tt.busy, CPU: map[string]float64{etcdPart: 20, apiPart: 90}})
		var limit *limitError
		if errors.As(err, &limit) != tt.limit {
			t.Errorf("%v with the processors %.0f%% busy: %v, want the machine's fault: %t", tt.failed, 100*tt.busy, err, tt.limit)
		}
		if !strings.Contains(err.Error(), "API server 90%, etcd 20%") {
			t.Errorf("%v does not tell who used the processors, most first", err)
		}
	}
}

func TestBackOff(t *testing.T) {
	want := []time.Duration{time.Second, 10 * time.Second, 20 * time.Second, 40 * time.Second}
	for restarts, d := range want {
		if got := backOff(restarts); got != d {
			t.Errorf("after %d restarts %s, want %s", restarts, got, d)
		}
	}
}

func TestPlanRefusesWhatCannotWork(t *testing.T) {
	for sizes, ok := range map[string]bool{"": true, "100": true, "100,300": true, "300,100": false, "100,100": false, "5": false, "x": false} {
		p := fullPlan()
		p.Rate, p.Clients = 100, 2
		if err := p.validate(sizes, nil); (err == nil) != ok {
			t.Errorf("sizes %q: %v", sizes, err)
		}
	}
}
