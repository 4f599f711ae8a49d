//go:build linux

/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
)

// notMeasured is what a table has for null.
const notMeasured = "–"

// cellOf is a figure in a table.
func cellOf[T int | float64](x *T) string {
	if x == nil {
		return notMeasured
	}
	return fmt.Sprintf("%.0f", float64(*x))
}

// table is the report for people.
func (r *report) table() string {
	var text strings.Builder
	t := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "fault\tlease\tlock\tn\tfailed\tp50 ms\tp95 ms\tmax ms\toverlaps\tlongest ms\tlate writes\taccepted\tleaders\tidle ms\trestarts")
	for _, c := range r.Cells {
		fmt.Fprintf(t, "%s\t%.0fs\t%s\t%d\t%d\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", c.Fault, c.Lease, c.Lock, c.N, c.Failed,
			cellOf(c.P50), cellOf(c.P95), cellOf(c.Max), cellOf(c.Overlaps), cellOf(c.LongestOverlap), cellOf(c.Late), cellOf(c.Accepted),
			c.leaders(), cellOf(c.Idle), cellOf(c.Restarts))
	}
	_ = t.Flush() // to a strings.Builder, as below
	r.writeLegend(&text)

	fmt.Fprintln(t, "\nload\tn\tfailed\tcommands per leader-hour\tper follower-hour\tAPI-server writes per leader-hour\tper follower-hour")
	for _, lock := range contenders {
		l := r.Load[lock]
		if l == nil {
			l = &load{}
		}
		fmt.Fprintf(t, "%s\t%d\t%d\t%s\t%s\t%s\t%s\n", lock, l.Elections, l.Failed,
			cellOf(l.Leader), cellOf(l.Follower), cellOf(l.LeaderAPIWrites), cellOf(l.FollowerAPIWrites))
	}
	_ = t.Flush()
	fmt.Fprintln(t, "\ntarget\tratio\tmeasured\tresult")
	for _, goal := range r.Targets {
		ratio := notMeasured
		if goal.Ratio != nil {
			ratio = fmt.Sprintf("%.3f", *goal.Ratio)
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\n", goal.Name, ratio, goal.Measured, goal.Result)
	}
	_ = t.Flush()
	return text.String()
}

func (c *result) leaders() string {
	if len(c.Leaders) == 0 {
		return notMeasured
	}
	return fmt.Sprintf("%d to %d", slices.Min(c.Leaders), slices.Max(c.Leaders))
}

func (r *report) writeLegend(w io.Writer) {
	fmt.Fprintf(w, `
%s: not measured; a p95 takes at least %d samples.
overlaps: trials in which two processes worked at a time; one that has not written for %s is not at work.
late writes: of the old leader after the new one's first; accepted: those that no token tells from good ones.
leaders, idle: of an outage, the processes that worked in the lease duration after the recovery, and the longest time in that when none did.
What an outage is:
  lease: %s.
  mongo, on %s: %s.
  feed: %s.
commands: to MongoDB, except heartbeats, and requests to kube-apiserver.
`, notMeasured, leastForP95, pause, r.Outages["lease"], r.Server, r.Outages["mongo"], r.Outages["feed"])
}
