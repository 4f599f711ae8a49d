//go:build linux

/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

// Package figure is what all plots of measurements have in common.
package figure

import (
	"errors"
	"image/color"
	"os"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

const margin vg.Length = 9 // points

// The colours are some that also people with colour blindness can tell apart, by Okabe and Ito.
var (
	Blue      = color.RGBA{R: 0x00, G: 0x72, B: 0xb2, A: 0xff}
	Orange    = color.RGBA{R: 0xe6, G: 0x9f, B: 0x00, A: 0xff}
	Green     = color.RGBA{R: 0x00, G: 0x9e, B: 0x73, A: 0xff}
	Purple    = color.RGBA{R: 0xcc, G: 0x79, B: 0xa7, A: 0xff}
	LightBlue = color.RGBA{R: 0x56, G: 0xb4, B: 0xe9, A: 0xff}
	Grey      = color.RGBA{R: 0x99, G: 0x99, B: 0x99, A: 0xff}
)

// New begins a plot of milliseconds, with a grid and its legend at the top.
func New(title string) *plot.Plot {
	plot.DefaultFont = font.Font{Typeface: "Liberation", Variant: "Sans"}
	p := plot.New()
	p.Title.Text, p.Y.Label.Text = title, "ms"
	p.Legend.Top = true
	p.Add(plotter.NewGrid())
	return p
}

// Save writes a plot as SVG of a size in points, with a margin, and on white, so that it can be read on a dark page too.
func Save(p *plot.Plot, width, height vg.Length, file string) error {
	return SaveRow([]*plot.Plot{p}, width, height, file)
}

// SaveRow is Save for plots side by side, which share the width.
func SaveRow(plots []*plot.Plot, width, height vg.Length, file string) error {
	canvas := vgsvg.New(width, height)
	page := draw.New(canvas)
	page.SetColor(color.White)
	page.Fill(page.Path())
	each := width / vg.Length(len(plots))
	for i, p := range plots {
		p.Title.Padding = margin
		left := vg.Length(i) * each
		p.Draw(draw.Crop(page, left+margin, left+each-margin-width, margin, -margin))
	}
	out, err := os.Create(file)
	if err != nil {
		return err
	}
	_, err = canvas.WriteTo(out)
	return errors.Join(err, out.Close())
}
