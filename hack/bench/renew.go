//go:build linux

/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"
)

const (
	heldLease = 15 * time.Second
	// renewPeriod is how often each of them is renewed.
	renewPeriod = heldLease / 3
)

// renewal is what it costs to hold many leases.
type renewal struct {
	leases     int
	commands   float64 // per round of renewals
	cpuPercent float64 // of one processor
	heap       float64 // bytes per lease
	resident   float64
	goroutines float64 // per lease
	detail     string  // the commands by name
}

// measureRenewal has another process hold leases, so that its processor time is that of the client alone.
func (b *bench) measureRenewal(ctx context.Context) error {
	b.screen.Say("Renewal: a process holds %d leases of %s for %s", b.plan.leases, heldLease, b.plan.renewWindow)
	defer b.screen.During(ctx, "holding leases")()
	program, err := os.Executable()
	if err != nil {
		return err
	}
	order, err := json.Marshal(holding{
		URI: b.uri, Database: b.database, Leases: b.plan.leases, Settle: b.plan.settle, Window: b.plan.renewWindow,
	})
	if err != nil {
		return err
	}
	var stdout bytes.Buffer
	cmd := exec.Command(program, "-hold")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(order), &stdout, os.Stderr
	p, err := start("the process with leases", cmd)
	if err != nil {
		return err
	}
	select {
	case <-p.Gone():
	case <-ctx.Done():
		p.Kill()
		return context.Cause(ctx)
	}
	if err := p.Err(); err != nil {
		return fmt.Errorf("%s: %w; the reason is on standard error", p.name, err)
	}
	var h held
	if err := json.Unmarshal(stdout.Bytes(), &h); err != nil {
		return fmt.Errorf("what %s has found: %w", p.name, err)
	}
	b.renewal = newRenewal(b.plan.leases, h)
	b.screen.Say("  %.1f commands a round (%s), %.2f%% of a processor", b.renewal.commands, b.renewal.detail, b.renewal.cpuPercent)
	return nil
}

func newRenewal(leases int, h held) renewal {
	rounds := float64(h.Window) / float64(renewPeriod)
	r := renewal{leases: leases, cpuPercent: 100 * float64(h.CPU) / float64(h.Window)}
	var details []string
	for _, name := range slices.Sorted(maps.Keys(h.Commands)) {
		each := float64(h.Commands[name]) / rounds
		r.commands += each
		details = append(details, fmt.Sprintf("%s %.1f", name, each))
	}
	r.detail = strings.Join(details, ", ")
	n := float64(leases)
	r.heap, r.resident, r.goroutines = float64(h.Heap)/n, float64(h.Resident)/n, float64(h.Goroutines)/n
	return r
}
