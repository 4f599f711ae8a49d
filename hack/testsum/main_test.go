/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package main

import (
	"strings"
	"testing"
)

func run(action, pkg, name, output string) string {
	return `{"Action":"` + action + `","Package":"` + pkg + `","Test":"` + name + `","Output":"` + output + `"}` + "\n"
}

func TestSummary(t *testing.T) {
	passing := run("run", "p", "TestA", "") + run("output", "p", "TestA", `quiet\n`) + run("pass", "p", "TestA", "") +
		run("output", "p", "", `PASS\n`) + run("output", "p", "", `ok  \tp\t0.1s\n`) + run("pass", "p", "", "")
	for _, c := range []struct {
		name, in string
		ok       bool
		want     []string
		not      string
	}{
		{
			name: "all pass", in: passing, ok: true,
			want: []string{"ok  \tp\t0.1s\n", "\n1 passed, 0 failed, 0 skipped\n"}, not: "quiet",
		},
		{
			name: "a test fails",
			in: passing + run("run", "q", "TestB", "") + run("output", "q", "TestB", `why\n`) + run("fail", "q", "TestB", "") +
				run("output", "q", "", `FAIL\tq\t0.1s\n`) + run("fail", "q", "", ""),
			want: []string{"why\n", "FAIL\tq\t0.1s\n", "FAILED q TestB\n", "\n1 passed, 1 failed, 0 skipped\n"},
		},
		{
			name: "a test is skipped",
			in: passing + run("run", "q", "TestB", "") + run("output", "q", "TestB", `later\n`) + run("skip", "q", "TestB", "") +
				run("output", "q", "", `ok  \tq\t0.1s\n`) + run("pass", "q", "", ""),
			want: []string{"later\n", "SKIPPED q TestB", "\n1 passed, 0 failed, 1 skipped\n"},
		},
		{
			name: "a panic ends the package",
			in: passing + run("run", "q", "TestB", "") + run("output", "q", "TestB", `panic: x\n`) +
				run("output", "q", "", `FAIL\tq\t0.1s\n`) + run("fail", "q", "", ""),
			want: []string{"panic: x\n", "FAILED q TestB\n", "\n1 passed, 1 failed, 0 skipped\n"},
		},
		{
			name: "a build fails",
			in: passing + `{"ImportPath":"q","Action":"build-output","Output":"syntax error\n"}` + "\n" +
				`{"ImportPath":"q","Action":"build-fail"}` + "\n" +
				run("output", "q", "", `FAIL\tq [build failed]\n`) + run("fail", "q", "", ""),
			want: []string{"syntax error\n", "FAIL\tq [build failed]\n", "FAILED q\n", "\n1 passed, 0 failed, 0 skipped\n"},
		},
		{
			name: "the package fails after its tests have passed",
			in: run("run", "p", "TestA", "") + run("pass", "p", "TestA", "") + run("output", "p", "", `leak\n`) +
				run("fail", "p", "", ""),
			want: []string{"leak\n", "FAILED p\n"},
		},
		{
			name: "go test is killed",
			in:   passing + run("run", "q", "TestB", "") + run("output", "q", "TestB", `half\n`),
			want: []string{"half\n", "FAILED q TestB\n", "\n1 passed, 1 failed, 0 skipped\n"},
		},
		{name: "no tests", in: run("output", "p", "", `?   \tp\t[no test files]\n`) + run("skip", "p", "", ""),
			want: []string{"?   \tp\t[no test files]\n", "FAILED no test ran\n", "0 passed, 0 failed, 0 skipped\n"}},
		{name: "an error without JSON", in: "go: broken\n", want: []string{"go: broken\n", "FAILED no test ran\n"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var out strings.Builder
			s := newSummary(&out)
			if err := s.read(strings.NewReader(c.in)); err != nil {
				t.Fatal(err)
			}
			if ok := s.finish(); ok != c.ok {
				t.Errorf("finish says %v, want %v", ok, c.ok)
			}
			for _, want := range c.want {
				if !strings.Contains(out.String(), want) {
					t.Errorf("output lacks %q:\n%s", want, out.String())
				}
			}
			if c.not != "" && strings.Contains(out.String(), c.not) {
				t.Errorf("output has %q, want it left out:\n%s", c.not, out.String())
			}
		})
	}
}
