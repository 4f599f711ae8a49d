/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package main

import (
	"os"
	"slices"
	"strings"
	"testing"
)

// The README's longer Go examples stand, line by line, in examples that are compiled with the tests.
func TestREADMEExamplesAreCompiled(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	var compiled []string
	for _, file := range []string{"pkg/mongolock/example_test.go", "pkg/resourcelock/example_test.go"} {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		compiled = append(compiled, trimmedLines(string(content))...)
	}
	checked := 0
	for _, part := range strings.Split(string(readme), "\n```go\n")[1:] {
		example, _, _ := strings.Cut(part, "\n```")
		want := trimmedLines(example)
		found := slices.ContainsFunc(indexes(compiled, want[0]), func(i int) bool {
			return len(compiled)-i >= len(want) && slices.Equal(compiled[i:i+len(want)], want)
		})
		if !found {
			t.Errorf("the README's example that begins with %q is in no example test", want[0])
		}
		checked++
	}
	if checked != 3 {
		t.Errorf("%d examples found in the README, want 3", checked)
	}
}

func trimmedLines(text string) []string {
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		lines[i] = strings.TrimSpace(line)
	}
	return lines
}

func indexes(lines []string, line string) (at []int) {
	for i := range lines {
		if lines[i] == line {
			at = append(at, i)
		}
	}
	return at
}
