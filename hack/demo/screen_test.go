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
	"testing"
	"time"
	"unicode/utf8"

	"github.com/mongolock/operator/hack/child"
)

func TestScreenCutsLines(t *testing.T) {
	var text strings.Builder
	s := &screen{out: &text, begin: time.Now()}
	for length := range 2 * width {
		text.Reset()
		s.line("dlock", strings.Repeat("ä", length))
		if n := utf8.RuneCountInString(strings.TrimSuffix(text.String(), "\n")); n > width {
			t.Fatalf("%d characters became a line of %d", length, n)
		}
	}
	if !strings.HasSuffix(text.String(), "ä…\n") {
		t.Errorf("got %q", text.String())
	}
	text.Reset()
	s.say("%s", strings.Repeat("x", width))
	if !strings.Contains(text.String(), strings.Repeat("x", width)) {
		t.Error("what the demo says was cut")
	}
}

func TestLines(t *testing.T) {
	const text = "one\n\ntwo and\nthree"
	for size := 1; size <= len(text); size++ {
		var got []string
		w := &child.Lines{Take: func(line string) { got = append(got, line) }}
		for part := range slices.Chunk([]byte(text), size) {
			fmt.Fprintf(w, "%s", part)
		}
		if !slices.Equal(got, []string{"one", "", "two and"}) {
			t.Errorf("in parts of %d: %q", size, got)
		}
	}
}
