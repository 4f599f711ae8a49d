//go:build linux

/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package main

import (
	"encoding/json"
	"math"
	"os"
	"slices"
	"sync"
	"time"
)

// report is what was found, as it is written to failover.json. Null is what was not measured.
type report struct {
	Plan     *plan `json:"plan"`
	Complete bool  `json:"complete"` // false: the plan was not carried out to its end
	// Server is the product that the locks in MongoDB are on. Outages tell what an outage is to each kind of lock.
	Server  string            `json:"server"`
	Outages map[string]string `json:"outages"`
	// Cells are in the order of the plan, the contenders in each in theirs.
	Cells   []*result        `json:"cells"`
	Load    map[string]*load `json:"load"`
	Targets []target         `json:"targets"`

	mu *sync.Mutex
}

// result is one contender under one fault.
type result struct {
	Fault string  `json:"fault"`
	Lease float64 `json:"lease_s"`
	Lock  string  `json:"lock"`
	// N counts the trials that were measured, Failed those that could not be.
	N        int      `json:"n"`
	Failed   int      `json:"failed"`
	Failures []string `json:"failures,omitempty"`
	P50      *float64 `json:"p50_ms"`
	P95      *float64 `json:"p95_ms"`
	Max      *float64 `json:"max_ms"`
	// Overlaps counts the trials in which two worked at a time, those that failed included.
	Overlaps       *int     `json:"overlaps"`
	LongestOverlap *float64 `json:"longest_overlap_ms"`
	// Late and Accepted are writes of the old leader after the new one's first, in all trials.
	Late     *int `json:"late_writes"`
	Accepted *int `json:"late_writes_accepted"`
	// Leaders are, of each outage, the processes that worked in the lease duration after the recovery; Idle is the longest time in that
	// in which none did. Restarts are processes that had to be started anew. Away is the longest outage.
	Leaders  []int    `json:"leaders"`
	Idle     *float64 `json:"longest_idle_ms"`
	Restarts *int     `json:"restarts"`
	Away     *float64 `json:"away_ms"`

	took []time.Duration
}

// leastForP95 is how many samples a p95 needs: with fewer it is the maximum.
const leastForP95 = 20

func newReport(p *plan) report {
	return report{Plan: p, Load: map[string]*load{}, mu: &sync.Mutex{}}
}

func (r *report) find(fault string, t Timings, lock string) *result {
	for _, c := range r.Cells {
		if c.Fault == fault && c.Lease == t.Lease.Seconds() && c.Lock == lock {
			return c
		}
	}
	return nil
}

// add adds a trial.
func (r *report) add(fault string, t Timings, lock string, s sample, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.find(fault, t, lock) == nil {
		for _, contender := range contenders { // all at a time, so that they stand together
			r.Cells = append(r.Cells, &result{Fault: fault, Lease: t.Lease.Seconds(), Lock: contender})
		}
	}
	r.find(fault, t, lock).add(s, err)
}

func (c *result) add(s sample, err error) {
	overlaps := 0
	if s.overlap.found {
		overlaps = 1
	}
	c.Overlaps, c.LongestOverlap = sum(c.Overlaps, overlaps), longest(c.LongestOverlap, s.overlap.longest)
	if err != nil {
		c.Failed, c.Failures = c.Failed+1, append(c.Failures, err.Error())
		return
	}
	c.N++
	if s.took != nil {
		c.took = append(c.took, *s.took)
		slices.Sort(c.took)
		c.P50, c.Max = quantile(c.took, 0.5), quantile(c.took, 1)
		if len(c.took) >= leastForP95 {
			c.P95 = quantile(c.took, 0.95)
		}
	}
	if s.late != nil {
		c.Late, c.Accepted = sum(c.Late, s.late.writes), sum(c.Accepted, s.late.accepted)
	}
	if a := s.after; a != nil {
		c.Leaders, c.Restarts = append(c.Leaders, a.leaders), sum(c.Restarts, a.restarts)
		c.Idle, c.Away = longest(c.Idle, a.idle), longest(c.Away, a.away)
	}
}

func sum(total *int, n int) *int {
	if total != nil {
		n += *total
	}
	return &n
}

func longest(so *float64, d time.Duration) *float64 {
	ms := milliseconds(d)
	if so != nil {
		ms = max(ms, *so)
	}
	return &ms
}

// quantile is the smallest that at least the share q does not exceed, in milliseconds.
func quantile(sorted []time.Duration, q float64) *float64 {
	ms := milliseconds(sorted[max(int(math.Ceil(q*float64(len(sorted)))), 1)-1])
	return &ms
}

func milliseconds(d time.Duration) float64 {
	return math.Round(float64(d)/float64(time.Millisecond)*10) / 10
}

// failed counts the trials that could not be measured.
func (r *report) failed() (n int) {
	for _, c := range r.Cells {
		n += c.Failed
	}
	for _, l := range r.Load {
		n += l.Failed
	}
	return n
}

func (r *report) write(path string) error {
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(text, '\n'), 0o644)
}
