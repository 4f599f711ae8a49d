//go:build linux

/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/mongolock/operator/hack/bench/gauge"
	"github.com/mongolock/operator/hack/child"
	"github.com/mongolock/operator/hack/servers"
)

// figures are what has targets. Null is what was not measured.
type figures struct {
	SteadyWrites     *float64 `json:"steady_api_writes_60s"`
	SteadyReconciles *float64 `json:"steady_reconciles_60s"`
	P50              *float64 `json:"transition_to_status_p50_ms"`
	P99              *float64 `json:"transition_to_status_p99_ms"`
	PerTransition    *float64 `json:"status_writes_per_transition"`
	RestartReady     *float64 `json:"restart_to_ready_s"`
	RestartWrites    *float64 `json:"restart_api_writes"`
	RSS              *float64 `json:"rss_mib"`
	PerObject        *float64 `json:"outage_writes_per_object"`
}

// result is one size.
type result struct {
	Objects int `json:"objects"`
	// Carried is false if a phase could not be finished; Reason tells why.
	Carried bool   `json:"carried"`
	Reason  string `json:"reason,omitempty"`
	figures
	Fill        *filling        `json:"fill"`
	Steady      *window         `json:"steady"`
	Transitions *churning       `json:"transitions"`
	Restart     *restarting     `json:"restart"`
	Outage      *cut            `json:"outage"`
	Phases      map[string]load `json:"phases"` // who used the processors
}

// report is what was found, as it is written to operator.json. Its figures are those of the largest size.
type report struct {
	Plan     *plan `json:"plan"`
	Complete bool  `json:"complete"` // false: the plan was not carried out to its end
	figures
	Sizes       []*result         `json:"sizes"`
	Targets     []verdict         `json:"targets"`
	Environment map[string]string `json:"environment"`
}

// conclude takes the figures of the largest size, and judges them.
func (r *report) conclude() {
	r.figures = figures{}
	largest := r.Plan.Sizes[len(r.Plan.Sizes)-1]
	for _, one := range r.Sizes {
		if one.Objects == largest {
			r.figures = one.figures
		}
	}
	r.Targets = r.judge()
}

func (r *report) write(path string) error {
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(text, '\n'), 0o644)
}

// environment tells what was measured on what.
func (b *bench) environment(ctx context.Context) (map[string]string, error) {
	kubectl, err := servers.Kubectl()
	if err != nil {
		return nil, err
	}
	versions := map[string]string{}
	for _, program := range []string{"kube-apiserver", "etcd"} {
		out, err := child.Output(ctx, exec.Command(filepath.Join(filepath.Dir(kubectl), program), "--version"))
		if err != nil {
			return nil, err
		}
		versions[program], _, _ = strings.Cut(string(out), "\n")
	}
	return map[string]string{
		"go":                 runtime.Version(),
		"cpu":                fmt.Sprintf("%d x %s", runtime.NumCPU(), gauge.InfoLine("/proc/cpuinfo", "model name")),
		"memory":             gauge.InfoLine("/proc/meminfo", "MemTotal"),
		"server":             b.stack.product,
		"kubernetes":         versions["kube-apiserver"],
		"etcd":               versions["etcd"],
		"controller-runtime": gauge.ModuleVersion("sigs.k8s.io/controller-runtime"),
		"operators":          "one process; it is an administrator, so the API server's fairness does not limit it, its own limit does",
		"sizes":              "grow: locks and objects of a size stay for the next one, which begins with a new operator process",
	}, nil
}
