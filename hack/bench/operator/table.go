//go:build linux

/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package main

import (
	"fmt"
	"strings"
	"text/tabwriter"
)

// nothing is what a table has for null.
const nothing = "–"

// row is a line of the table: what it tells of each size; not called for what was not measured.
type row struct {
	name string
	of   func(*result) string
}

func number(x *float64) string {
	if x == nil {
		return nothing
	}
	return fmt.Sprintf("%.4g", *x)
}

// part is a row of the part of a result that of returns; nil is what was not measured.
func part[T any](name string, of func(*result) *T, show func(*T) string) row {
	return row{name, func(r *result) string {
		if p := of(r); p != nil {
			return show(p)
		}
		return nothing
	}}
}

func ofFill(name string, show func(*filling) string) row {
	return part(name, func(r *result) *filling { return r.Fill }, show)
}

func ofSteady(name string, show func(*window) string) row {
	return part("steady: "+name, func(r *result) *window { return r.Steady }, show)
}

func ofChurn(name string, show func(*churning) string) row {
	return part("transitions: "+name, func(r *result) *churning { return r.Transitions }, show)
}

func ofRestart(name string, show func(*restarting) string) row {
	return part("restart: "+name, func(r *result) *restarting { return r.Restart }, show)
}

func ofOutage(name string, show func(*cut) string) row {
	return part("outage: "+name, func(r *result) *cut { return r.Outage }, show)
}

func rows() []row {
	text := fmt.Sprint
	rounded := func(x float64) string { return fmt.Sprintf("%.4g", x) }
	all := []row{
		ofFill("acquire the new locks, s", func(f *filling) string { return rounded(f.Acquire) }),
		ofFill("create the new objects, s", func(f *filling) string { return rounded(f.Create) }),
		ofFill("operator's start to all Held, s", func(f *filling) string { return rounded(f.Mirror) }),
		ofSteady("seconds", func(w *window) string { return rounded(w.Seconds) }),
		ofSteady("renewals", func(w *window) string { return text(w.Renewals) }),
		ofSteady("writes, by the API server", func(w *window) string { return rounded(w.all()) }),
		ofSteady("write requests, by the operator", func(w *window) string { return number(w.OwnWrites) }),
		ofSteady("reconciles", func(w *window) string { return number(w.Reconciles) }),
		ofChurn("made", func(c *churning) string { return text(c.Made) }),
		ofChurn("skipped, failed", func(c *churning) string { return fmt.Sprintf("%d, %d", c.Skipped, c.Failed) }),
		ofChurn("to status, p50 ms", func(c *churning) string { return rounded(c.P50) }),
		ofChurn("to status, p99 ms", func(c *churning) string { return rounded(c.P99) }),
		ofChurn("to status, max ms", func(c *churning) string { return rounded(c.Max) }),
		ofChurn("behind at the end", func(c *churning) string { return text(c.Behind) }),
		ofChurn("queue at the end", func(c *churning) string { return number(c.Queue) }),
		ofChurn("drained after, s", func(c *churning) string { return rounded(c.Drain) }),
		ofChurn("status writes", func(c *churning) string { return rounded(c.Written.Status) }),
		ofChurn("event writes", func(c *churning) string { return rounded(c.Written.Events) }),
		ofRestart("stop, s", func(s *restarting) string { return rounded(s.Stop) }),
		ofRestart("ready, s", func(s *restarting) string { return rounded(s.Ready) }),
		ofRestart("writes, of which of the election", func(s *restarting) string { return fmt.Sprintf("%.0f, %d", s.all(), s.Elected) }),
		ofOutage("objects told", func(o *cut) string { return text(o.Told) }),
		ofOutage("first, all told, s", func(o *cut) string { return number(o.First) + ", " + number(o.All) }),
		ofOutage("operator's process ended after, s", func(o *cut) string { return text(o.Ended) }),
		ofOutage("end to all mirrored, s", func(o *cut) string { return rounded(o.Mirrored) }),
		ofOutage("status writes", func(o *cut) string { return rounded(o.Status) }),
		{"most memory of the operator, MiB", func(r *result) string { return number(r.RSS) }},
	}
	for _, p := range parts {
		all = append(all,
			ofSteady("CPU %, "+p, func(w *window) string { return rounded(w.CPU[p]) }),
			ofChurn("CPU %, "+p, func(c *churning) string { return rounded(c.CPU[p]) }))
	}
	return append(all, ofChurn("processors busy, other work", func(c *churning) string {
		return fmt.Sprintf("%.0f%%, %.0f%%", 100*c.Busy, 100*c.Foreign)
	}))
}

// table is the report for people.
func (r *report) table() string {
	var text strings.Builder
	t := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	fmt.Fprint(t, "objects")
	for _, one := range r.Sizes {
		fmt.Fprintf(t, "\t%d", one.Objects)
	}
	fmt.Fprintln(t)
	for _, line := range rows() {
		fmt.Fprint(t, line.name)
		for _, one := range r.Sizes {
			fmt.Fprintf(t, "\t%s", line.of(one))
		}
		fmt.Fprintln(t)
	}
	_ = t.Flush() // to a strings.Builder, as below
	for _, one := range r.Sizes {
		if !one.Carried {
			fmt.Fprintf(&text, "%d objects NOT CARRIED: %s\n", one.Objects, one.Reason)
		}
	}
	fmt.Fprintf(&text, "CPU: percent of one processor. %s: not measured.\n\n", nothing)
	fmt.Fprintln(t, "target, with the largest size\tvalue\tmust\taim\tresult\twhat")
	for i, v := range r.Targets {
		less := ""
		if targets[i].below {
			less = "below "
		}
		fmt.Fprintf(t, "%s\t%s\t<= %g\t%s%g\t%s\t%s\n", v.Key, number(v.Value), v.Must, less, v.Aim, v.Result, targets[i].what)
	}
	_ = t.Flush()
	return text.String()
}
