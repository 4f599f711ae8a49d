//go:build linux

/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package main

import (
	"fmt"
	"image/color"
	"slices"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"

	"github.com/mongolock/operator/hack/bench/figure"
)

const (
	plotWidth  vg.Length = 900 // points, as all below
	plotHeight vg.Length = 300
	barWidth   vg.Length = 14
)

var palette = []color.Color{figure.Orange, figure.Grey, figure.LightBlue, figure.Blue, figure.Green}

// fromBottom is a logarithmic scale for bars: these begin at zero, which has no logarithm and is drawn at the bottom.
type fromBottom struct{ plot.LogScale }

// Normalize implements [plot.Normalizer].
//
//nolint:misspell // the interface is theirs
func (f fromBottom) Normalize(bottom, top, x float64) float64 {
	return f.LogScale.Normalize(bottom, top, max(x, bottom))
}

// plot draws the median time to the next leader, on a logarithmic scale.
func (r *report) plot(path string) error {
	p := figure.New("Time to the next leader, median")
	p.Y.Scale, p.Y.Tick.Marker = fromBottom{}, plot.LogTicks{Prec: -1}
	var names []string
	var groups [][]*result
	for i := 0; i+len(contenders) <= len(r.Cells); i += len(contenders) {
		if group := r.Cells[i : i+len(contenders)]; !slices.ContainsFunc(group, func(c *result) bool { return c.P50 == nil }) {
			names = append(names, fmt.Sprintf("%s, %.0f s", group[0].Fault, group[0].Lease))
			groups = append(groups, group)
		}
	}
	if len(groups) == 0 {
		return nil // everything failed
	}
	for i, lock := range contenders {
		var values plotter.Values
		for _, group := range groups {
			values = append(values, *group[i].P50)
		}
		chart, err := plotter.NewBarChart(values, barWidth)
		if err != nil {
			return err
		}
		chart.Color, chart.LineStyle.Width = palette[i], 0
		chart.Offset = barWidth * (vg.Length(i) - vg.Length(len(contenders)-1)/2)
		chart.XMin = 0
		p.Add(chart)
		p.Legend.Add(lock, chart)
	}
	p.NominalX(names...)
	p.X.Min, p.X.Max = -0.5, float64(len(names))-0.5
	p.Y.Min, p.Y.Max = 1, 30*max(p.Y.Max, 1) // the bars begin lower, and the legend needs room
	return figure.Save(p, plotWidth, plotHeight, path)
}
