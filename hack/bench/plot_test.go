//go:build linux

/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package main

import (
	"bytes"
	"os"
	"testing"
	"time"
)

func TestPlots(t *testing.T) {
	b := &bench{}
	for i, name := range []string{floorName, mongolockName, pushName, dlockName, etcdName} {
		for n := range 100 {
			ms := time.Duration((i+1)*(n+1)) * time.Millisecond
			b.cycle.add(name, samples{ms})
			b.denied.add(name, samples{ms / 2})
			b.handOff.add(name, samples{ms * 10})
		}
	}
	b.scale.add("1 waiting", samples{0, time.Millisecond})
	b.scale.add("100 waiting", nil)
	expectPlots(t, b, 4)
	b.scale = set{}
	b.scale.add("1 waiting", nil) // and nothing else: no plot
	expectPlots(t, b, 3)
}

func expectPlots(t *testing.T, b *bench, count int) {
	t.Helper()
	files, err := b.plots(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if len(files) != count {
		t.Errorf("%d plots, want %d", len(files), count)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Contains(text, []byte("</svg>")) || bytes.Contains(text, []byte("NaN")) {
			t.Errorf("%s is no complete SVG", file)
		}
	}
}
