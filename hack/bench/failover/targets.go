//go:build linux

/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package main

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// The results of a target.
const (
	reached = "reached"
	missed  = "MISSED"
	unknown = "not measured"
)

// longestIdle is the longest time for which a leader may get no processor. It is too short for a change of leaders to hide in it.
const longestIdle = time.Second

// target is something that was to be reached.
type target struct {
	Name     string   `json:"name"`
	Ratio    *float64 `json:"ratio"` // of p50s, to the Lease's; null: the target is none, or it was not measured
	Measured string   `json:"measured"`
	Result   string   `json:"result"`
}

// judge compares what was measured with what was to be reached.
func (r *report) judge() {
	r.Targets = nil
	for _, t := range []Timings{usual, short} {
		r.judgeRelease(t)
		r.judgeKill(t)
	}
	for _, lock := range []string{mongoFast, mongoPush, mongoPolling} {
		r.judgeOne("cold restart, "+lock+": at most 1000 ms", "cold", usual, lock, func(c *result) (bool, string) {
			return c.Max != nil && *c.Max <= 1000, "max " + cellOf(c.Max) + " ms"
		})
	}
	for _, t := range []Timings{usual, short} {
		for _, lock := range contenders[1:] {
			name := fmt.Sprintf("black hole, lease %s, %s: no overlap", t.Lease, lock)
			r.judgeOne(name, "blackhole", t, lock, func(c *result) (bool, string) { return *c.Overlaps == 0, fmt.Sprintf("%d of %d", *c.Overlaps, c.N) })
		}
		for _, lock := range contenders[1:] {
			name := fmt.Sprintf("freeze, lease %s, %s: no late write accepted", t.Lease, lock)
			r.judgeOne(name, "freeze", t, lock, func(c *result) (bool, string) {
				return c.Accepted != nil && *c.Accepted == 0, fmt.Sprintf("%s of %s", cellOf(c.Accepted), cellOf(c.Late))
			})
		}
	}
	for _, away := range []time.Duration{5 * time.Second, 11 * time.Second, time.Minute} {
		for _, lock := range contenders[1:] {
			r.judgeOutage(away, lock)
		}
	}
	for _, lock := range contenders[1:] {
		r.judgeLoad(lock)
	}
}

func (r *report) target(name string, ratio *float64, met bool, measured string) {
	result := missed
	if met {
		result = reached
	}
	r.Targets = append(r.Targets, target{name, ratio, measured, result})
}

func (r *report) unknown(name string) {
	r.Targets = append(r.Targets, target{Name: name, Measured: notMeasured, Result: unknown})
}

// judgeOne judges a contender under a fault. A trial that failed may have been the one that missed the target.
func (r *report) judgeOne(name, fault string, t Timings, lock string, met func(*result) (bool, string)) {
	c := r.find(fault, t, lock)
	if c == nil || c.N+c.Failed == 0 {
		r.unknown(name)
		return
	}
	ok, measured := met(c)
	if c.Failed > 0 {
		measured += fmt.Sprintf(", %d trials failed", c.Failed)
	}
	r.target(name, nil, ok && c.Failed == 0, measured)
}

// judgeRatio judges the long poll beside the Lease in the same run.
func (r *report) judgeRatio(name, fault string, t Timings, met func(ours, theirs *result) (bool, float64, string)) {
	theirs, ours := r.find(fault, t, lease), r.find(fault, t, mongoPush)
	if ours == nil || ours.P50 == nil || theirs.P50 == nil || *theirs.P50 == 0 || *theirs.Max == 0 {
		r.unknown(name)
		return
	}
	ok, ratio, measured := met(ours, theirs)
	if failed := ours.Failed + theirs.Failed; failed > 0 {
		ok, measured = false, measured+fmt.Sprintf(", %d trials failed", failed)
	}
	r.target(name, &ratio, ok, measured)
}

func (r *report) judgeRelease(t Timings) {
	name := fmt.Sprintf("release, lease %s, %s: p50 at most 0.15 of lease's, and 150 ms", t.Lease, mongoPush)
	r.judgeRatio(name, sigterm.name, t, func(ours, theirs *result) (bool, float64, string) {
		ratio := *ours.P50 / *theirs.P50
		return ratio <= 0.15 && *ours.P50 <= 150, ratio, fmt.Sprintf("p50 %.0f of %.0f ms", *ours.P50, *theirs.P50)
	})
}

func (r *report) judgeKill(t Timings) {
	bound := milliseconds(t.Lease + time.Second + min(t.Lease/10, time.Second))
	name := fmt.Sprintf("kill -9, lease %s, %s: p50 and max at most 0.95 of lease's, max below %.0f ms", t.Lease, mongoPush, bound)
	r.judgeRatio(name, kill.name, t, func(ours, theirs *result) (bool, float64, string) {
		ratio, ofMax := *ours.P50 / *theirs.P50, *ours.Max / *theirs.Max
		return ratio <= 0.95 && ofMax <= 0.95 && *ours.Max < bound, ratio,
			fmt.Sprintf("p50 %.0f of %.0f ms, max %.0f of %.0f ms: %.3f", *ours.P50, *theirs.P50, *ours.Max, *theirs.Max, ofMax)
	})
}

func (r *report) judgeOutage(away time.Duration, lock string) {
	fault := outage{away: away}.name()
	r.judgeOne(fault+", "+lock+": exactly one leads afterwards", fault, usual, lock, func(c *result) (bool, string) {
		one := c.Idle != nil && slices.Min(c.Leaders) == 1 && slices.Max(c.Leaders) == 1 && *c.Idle <= milliseconds(longestIdle)
		return one && *c.Overlaps == 0, fmt.Sprintf("%s leaders, %s overlaps, idle for %s ms", c.leaders(), cellOf(c.Overlaps), cellOf(c.Idle))
	})
	if away == 5*time.Second {
		r.judgeOne(fault+", "+lock+": no restart", fault, usual, lock, func(c *result) (bool, string) {
			return c.Restarts != nil && *c.Restarts == 0, cellOf(c.Restarts)
		})
	}
}

func (r *report) judgeLoad(lock string) {
	name := "load, " + lock + ": no API-server writes"
	l := r.Load[lock]
	if l == nil || l.LeaderAPIWrites == nil {
		r.unknown(name)
		return
	}
	measured := []string{cellOf(l.LeaderAPIWrites) + " per leader-hour", cellOf(l.FollowerAPIWrites) + " per follower-hour"}
	r.target(name, nil, *l.LeaderAPIWrites+*l.FollowerAPIWrites == 0 && l.Failed == 0, strings.Join(measured, ", "))
}
