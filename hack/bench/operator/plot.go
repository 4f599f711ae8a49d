//go:build linux

/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package main

import (
	"image/color"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"

	"github.com/mongolock/operator/hack/bench/figure"
)

const (
	plotWidth  vg.Length = 900 // points, as all below
	plotHeight vg.Length = 300
	lineWidth  vg.Length = 2
)

var palette = []color.Color{figure.Blue, figure.Orange, figure.Purple, figure.Green, figure.Grey}

// curve is one line of a plot: a figure for each size.
type curve struct {
	name  string
	color color.Color
	of    func(*result) float64
}

// plot draws what the sizes that were carried cost.
func (r *report) plot(path string) error {
	var sizes []*result
	for _, one := range r.Sizes {
		if one.Carried {
			sizes = append(sizes, one)
		}
	}
	if len(sizes) == 0 {
		return nil
	}
	latency, err := draw("From a transition to the status", "ms", sizes, []curve{
		{"p99", figure.Orange, func(r *result) float64 { return r.Transitions.P99 }},
		{"p50", figure.Blue, func(r *result) float64 { return r.Transitions.P50 }},
	})
	if err != nil {
		return err
	}
	memory, err := draw("Memory of the operator", "MiB", sizes, []curve{
		{"most, resident", figure.Green, func(r *result) float64 { return *r.RSS }},
	})
	if err != nil {
		return err
	}
	var used []curve
	for i, p := range []string{operatorPart, apiPart, etcdPart, mongoPart, clientsPart} {
		if _, known := sizes[0].Transitions.CPU[p]; known {
			used = append(used, curve{p, palette[i], func(r *result) float64 { return r.Transitions.CPU[p] }})
		}
	}
	cpu, err := draw("Processors during transitions", "percent of one", sizes, used)
	if err != nil {
		return err
	}
	return figure.SaveRow([]*plot.Plot{latency, memory, cpu}, plotWidth, plotHeight, path)
}

func draw(title, unit string, sizes []*result, curves []curve) (*plot.Plot, error) {
	p := figure.New(title)
	p.X.Label.Text, p.Y.Label.Text = "objects", unit
	p.X.Min, p.Y.Min = 0, 0
	p.Legend.Left = true
	for _, c := range curves {
		var points plotter.XYs
		for _, one := range sizes {
			points = append(points, plotter.XY{X: float64(one.Objects), Y: c.of(one)})
		}
		line, dots, err := plotter.NewLinePoints(points)
		if err != nil {
			return nil, err
		}
		line.Color, line.Width, dots.Color = c.color, lineWidth, c.color
		p.Add(line, dots)
		p.Legend.Add(c.name, line, dots)
	}
	p.X.Min, p.Y.Min = 0, 0
	p.X.Max *= 1.05
	p.Y.Max *= 1.5 // room for the legend
	return p, nil
}
