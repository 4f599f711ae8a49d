//go:build linux

/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package main

import (
	"errors"
	"fmt"
	"image/color"
	"os"
	"slices"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

const (
	plotWidth  vg.Length = 900 // points, as all below
	plotHeight vg.Length = 300
	plotMargin vg.Length = 9
	barWidth   vg.Length = 14
)

// palette has colours that also people with colour blindness can tell apart, by Okabe and Ito.
var palette = []color.Color{
	color.RGBA{R: 0xe6, G: 0x9f, B: 0x00, A: 0xff}, color.RGBA{R: 0x99, G: 0x99, B: 0x99, A: 0xff}, color.RGBA{R: 0x56, G: 0xb4, B: 0xe9, A: 0xff},
	color.RGBA{R: 0x00, G: 0x72, B: 0xb2, A: 0xff}, color.RGBA{R: 0x00, G: 0x9e, B: 0x73, A: 0xff},
}

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
	plot.DefaultFont = font.Font{Typeface: "Liberation", Variant: "Sans"}
	p := plot.New()
	p.Title.Text, p.Y.Label.Text = "Time to the next leader, median", "ms"
	p.Y.Scale, p.Y.Tick.Marker = fromBottom{}, plot.LogTicks{Prec: -1}
	p.Legend.Top = true
	p.Add(plotter.NewGrid())
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
	return save(p, path)
}

// save writes a plot as SVG, with a margin, and on white, so that it can be read on a dark page too.
func save(p *plot.Plot, file string) error {
	canvas := vgsvg.New(plotWidth, plotHeight)
	page := draw.New(canvas)
	page.SetColor(color.White)
	page.Fill(page.Path())
	p.Title.Padding = plotMargin
	p.Draw(draw.Crop(page, plotMargin, -plotMargin, plotMargin, -plotMargin))
	out, err := os.Create(file)
	if err != nil {
		return err
	}
	_, err = canvas.WriteTo(out)
	return errors.Join(err, out.Close())
}
