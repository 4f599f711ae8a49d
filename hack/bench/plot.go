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
	"path/filepath"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"

	"github.com/mongolock/operator/hack/bench/figure"
	"github.com/mongolock/operator/hack/bench/gauge"
)

const (
	plotWidth  vg.Length = 510 // points, as all below
	plotHeight vg.Length = 280
	barWidth   vg.Length = 26
)

var palette = []color.Color{figure.Blue, figure.Orange, figure.Green, figure.Purple, figure.LightBlue}

// plots writes all plots as SVG and returns their files.
func (b *bench) plots(folder string) ([]string, error) {
	var files []string
	for _, m := range b.measurements() {
		if m.set.empty() {
			continue // it is told elsewhere that nothing was measured
		}
		kind, name := bars, "engine-"+m.key+".svg"
		if m.key == "handoff" || m.key == "scale" {
			kind = curves // of which the shape tells as much as p50 and p99
		}
		p, err := kind(m)
		if err != nil {
			return nil, fmt.Errorf("plot %s: %w", m.key, err)
		}
		file := filepath.Join(folder, name)
		if err := figure.Save(p, plotWidth, plotHeight, file); err != nil {
			return nil, fmt.Errorf("plot %s: %w", m.key, err)
		}
		files = append(files, file)
	}
	return files, nil
}

// bars draws p50 and p99 of each contender side by side.
func bars(m measurement) (*plot.Plot, error) {
	p := figure.New(m.title)
	p.Y.Min = 0
	for i, part := range []struct {
		name string
		of   func(samples) float64
	}{{"p50", samples.P50}, {"p99", samples.P99}} {
		var values plotter.Values
		for _, name := range m.set.names {
			values = append(values, part.of(m.set.byName[name]))
		}
		chart, err := plotter.NewBarChart(values, barWidth)
		if err != nil {
			return nil, err
		}
		chart.Color, chart.LineStyle.Width = palette[i], 0
		chart.Offset = barWidth * vg.Length(2*i-1) / 2
		p.Add(chart)
		p.Legend.Add(part.name, chart)
	}
	p.NominalX(m.set.names...)
	p.X.Min, p.X.Max = -0.5, float64(len(m.set.names))-0.5
	p.Y.Max *= 1.2 // room for the legend
	return p, nil
}

// curves draws the time that a share of the samples does not exceed, on a logarithmic scale.
func curves(m measurement) (*plot.Plot, error) {
	p := figure.New(m.title)
	p.X.Label.Text = "percent of the samples that took no longer"
	p.Y.Scale, p.Y.Tick.Marker = plot.LogScale{}, plot.LogTicks{Prec: -1}
	p.X.Tick.Marker = tens()
	p.Legend.Left = true
	for i, name := range m.set.names {
		s := m.set.byName[name]
		if len(s) == 0 {
			continue
		}
		var points plotter.XYs
		for percent := 1; percent <= 100; percent++ {
			ms := max(gauge.Milliseconds(s.Quantile(float64(percent)/100)), 0.001) // a logarithm needs more than nothing
			points = append(points, plotter.XY{X: float64(percent), Y: ms})
		}
		line, err := plotter.NewLine(points)
		if err != nil {
			return nil, err
		}
		line.Color, line.Width = palette[i%len(palette)], vg.Points(2)
		p.Add(line)
		p.Legend.Add(name, line)
	}
	p.X.Min, p.Y.Max = 0, p.Y.Max*10 // room for the legend
	return p, nil
}

// tens marks each tenth percent.
func tens() plot.ConstantTicks {
	var ticks plot.ConstantTicks
	for percent := 0; percent <= 100; percent += 10 {
		ticks = append(ticks, plot.Tick{Value: float64(percent), Label: fmt.Sprint(percent)})
	}
	return ticks
}
