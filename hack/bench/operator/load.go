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
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/mongolock/operator/hack/bench/gauge"
)

// ticksPerSecond is the unit of /proc/stat, the same on all platforms that Go has for Linux.
const ticksPerSecond = 100

// overloaded is the share of the processors from which on the machine is what limits.
const overloaded = 0.9

// The processes that share the machine.
const (
	operatorPart = "operator"
	apiPart      = "API server"
	etcdPart     = "etcd"
	mongoPart    = "MongoDB"
	clientsPart  = "clients"
	benchPart    = "benchmark"
)

var parts = []string{operatorPart, apiPart, etcdPart, mongoPart, clientsPart, benchPart}

// spent is what was used of the processors up to a moment.
type spent struct {
	at      int64
	machine gauge.Ticks
	parts   map[string]uint64
	process *process // the operator
}

// load is what was used in between two. CPU is percent of one processor, by part; without the operator if that was not one process all the
// time, and without a MongoDB that runs elsewhere.
type load struct {
	Seconds float64            `json:"seconds"`
	CPU     map[string]float64 `json:"cpu_percent"`
	Busy    float64            `json:"processors_busy"` // share of all
	Foreign float64            `json:"other_work"`      // share of all, by what is no part of the benchmark
}

func (b *bench) spent() (spent, error) {
	machine, err := gauge.Machine()
	if err != nil {
		return spent{}, err
	}
	known := map[int]string{}
	operator := b.keeper.process()
	if operator != nil {
		known[operator.Cmd.Process.Pid] = operatorPart
	}
	for _, one := range b.crew.clients {
		known[one.Cmd.Process.Pid] = clientsPart
	}
	all := gauge.Descendants()
	s := spent{gauge.Now(), machine, map[string]uint64{}, operator}
	for pid, p := range all {
		part := partOf(all, known, pid)
		s.parts[part] += p.Ticks
		if part == mongoPart {
			s.parts[part] += p.Reaped // PostgreSQL's processes come and go
		}
	}
	return s, nil
}

// partOf finds the part that a process belongs to: its own, or that of the process that started it.
func partOf(all map[int]gauge.Process, known map[int]string, pid int) string {
	for ; pid != os.Getpid() && pid != 0; pid = all[pid].Parent {
		name := all[pid].Name
		switch {
		case known[pid] != "":
			return known[pid]
		case name == "kube-apiserver":
			return apiPart
		case name == "etcd":
			return etcdPart
		case strings.HasPrefix(name, "mongodb-server"):
			return mongoPart
		}
	}
	return benchPart
}

func (s spent) since(before spent) load {
	l := load{Seconds: seconds(s.at - before.at), CPU: map[string]float64{}}
	var ours float64
	for _, part := range parts {
		if _, found := s.parts[part]; !found || part == operatorPart && s.process != before.process {
			continue
		}
		used := float64(s.parts[part]) - float64(before.parts[part])
		ours += used
		l.CPU[part] = max(gauge.Round(100*used/ticksPerSecond/l.Seconds), 0)
	}
	if total := float64(s.machine.Total - before.machine.Total); total > 0 {
		l.Busy = gauge.Round(float64(s.machine.Busy-before.machine.Busy) / total)
		l.Foreign = min(max(gauge.Round(l.Busy-ours/total), 0), l.Busy)
	}
	return l
}

// String tells who used the processors, most first.
func (l load) String() string {
	names := slices.SortedFunc(maps.Keys(l.CPU), func(a, b string) int { return int(l.CPU[b]*100) - int(l.CPU[a]*100) })
	var shares []string
	for _, name := range names {
		shares = append(shares, fmt.Sprintf("%s %.0f%%", name, l.CPU[name]))
	}
	return fmt.Sprintf("the processors were %.0f%% busy, %.0f%% with other work; of one processor: %s", 100*l.Busy, 100*l.Foreign,
		strings.Join(shares, ", "))
}

// window is what happened in a while. What the operator counts itself is null if it was not one process all the time.
type window struct {
	load
	writes
	OwnWrites  *float64 `json:"operator_write_requests"`
	Reconciles *float64 `json:"reconciles"`
	Renewals   int64    `json:"renewals"`
}

// during measures while f runs. The metrics are read outside of the time in which the processors are watched.
func (b *bench) during(ctx context.Context, f func() error) (*window, error) {
	before, err := b.tally(ctx)
	if err != nil {
		return nil, err
	}
	used, err := b.spent()
	if err != nil {
		return nil, err
	}
	if err := f(); err != nil {
		return nil, err
	}
	usedThen, err := b.spent()
	if err != nil {
		return nil, err
	}
	after, err := b.tally(ctx)
	if err != nil {
		return nil, err
	}
	w := &window{load: usedThen.since(used), writes: after.writes.since(before.writes), Renewals: after.renewals - before.renewals}
	if before.own != nil && after.own != nil && before.process == after.process {
		sent, reconciles := after.own.Writes-before.own.Writes, after.own.Reconciles-before.own.Reconciles
		w.OwnWrites, w.Reconciles = &sent, &reconciles
	}
	if after.lost > before.lost {
		return w, fmt.Errorf("%w: the clients lost %d leases", errSlow, after.lost-before.lost)
	}
	return w, nil
}

// tally is all counters at a moment.
type tally struct {
	writes         writes
	own            *own // null: there is no operator, or it does not answer
	process        *process
	renewals, lost int64
}

func (b *bench) tally(ctx context.Context) (t tally, err error) {
	asking, cancel := context.WithTimeout(ctx, 2*askTimeout)
	defer cancel()
	m, err := scrape(asking, b.stack.apiHTTP, b.stack.apiHost+"/metrics")
	if err != nil {
		return t, fmt.Errorf("ask the API server: %w", err)
	}
	t.writes = writesOf(m)
	if t.process = b.keeper.process(); t.process != nil {
		t.own = b.own(ctx)
	}
	t.renewals, t.lost, err = b.crew.all(asking, "count")
	return t, err
}

// own asks the operator; nil if it does not answer.
func (b *bench) own(ctx context.Context) *own {
	asking, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	m, err := scrape(asking, http.DefaultClient, "http://"+b.keeper.process().metrics+"/metrics")
	if err != nil {
		return nil
	}
	o := ownOf(m)
	return &o
}

func seconds(nanoseconds int64) float64 { return gauge.Round(time.Duration(nanoseconds).Seconds()) }

func duration(nanoseconds int64) time.Duration { return time.Duration(nanoseconds) }
