/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

// Command testsum reads the output of go test -json and shows what a reader wants: one line a package as it ends, the
// output of failed and skipped tests in full, and at the end how many tests passed, failed and were skipped, subtests
// counted like tests. Its exit status is 1 unless every test passed: here a skipped test proves nothing, so it counts
// as a failure, and so does a run without tests.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
)

func main() {
	// Ctrl-C reaches go test as well. What it still has to say is read to its end.
	signal.Ignore(os.Interrupt)
	s := newSummary(os.Stdout)
	if err := s.read(os.Stdin); err != nil {
		fmt.Fprintln(os.Stderr, "testsum: read the output of go test:", err)
		os.Exit(1)
	}
	if !s.finish() {
		os.Exit(1)
	}
}

// event is one line of go test -json; see go doc test2json.
type event struct {
	Action  string
	Package string
	Test    string
	Output  string
}

// test names one test; without Test it names its package.
type test struct{ Package, Test string }

func (t test) String() string { return strings.TrimSpace(t.Package + " " + t.Test) }

type summary struct {
	out     io.Writer
	running map[test]*strings.Builder // the output so far

	passed  int
	failed  []test
	skipped []test
	broken  []test // packages and builds that failed
}

func newSummary(out io.Writer) *summary {
	return &summary{out: out, running: map[test]*strings.Builder{}}
}

func (s *summary) read(r io.Reader) error {
	lines := bufio.NewReader(r)
	for {
		line, err := lines.ReadString('\n')
		var e event
		switch {
		case line == "":
		case json.Unmarshal([]byte(line), &e) == nil:
			s.take(e)
		default: // go test has no JSON for some of its own errors
			fmt.Fprint(s.out, line)
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (s *summary) take(e event) {
	t := test{e.Package, e.Test}
	switch {
	case e.Action == "build-output":
		fmt.Fprint(s.out, e.Output)
	case e.Action == "output":
		s.output(t).WriteString(e.Output)
	case e.Test == "":
		s.takePackage(t, e.Action)
	case e.Action == "run":
		s.output(t)
	case e.Action == "pass":
		s.passed++
		delete(s.running, t)
	case e.Action == "fail":
		s.failed = append(s.failed, t)
		s.show(t)
	case e.Action == "skip":
		s.skipped = append(s.skipped, t)
		s.show(t)
	}
}

// takePackage handles the end of a package. Action skip is a package without test files.
func (s *summary) takePackage(t test, action string) {
	switch action {
	case "pass", "skip":
		for line := range strings.Lines(s.output(t).String()) {
			if strings.HasPrefix(line, "ok  \t") || strings.HasPrefix(line, "?   \t") {
				fmt.Fprint(s.out, line)
			}
		}
		delete(s.running, t)
	case "fail":
		// A panic or a timeout ends a package without a word about the tests that were running.
		for running := range s.running {
			if running.Package == t.Package && running.Test != "" {
				s.failed = append(s.failed, running)
				s.show(running)
			}
		}
		s.broken = append(s.broken, t)
		s.show(t)
	}
}

func (s *summary) output(t test) *strings.Builder {
	if s.running[t] == nil {
		s.running[t] = &strings.Builder{}
	}
	return s.running[t]
}

func (s *summary) show(t test) {
	fmt.Fprint(s.out, s.output(t).String())
	delete(s.running, t)
}

// finish prints the sum and says whether all is well.
func (s *summary) finish() bool {
	// What never ended: go test itself was killed.
	for t := range s.running {
		if t.Test != "" {
			s.failed = append(s.failed, t)
		} else {
			s.broken = append(s.broken, t)
		}
		s.show(t)
	}
	fmt.Fprintln(s.out)
	for _, t := range s.skipped {
		fmt.Fprintf(s.out, "SKIPPED %s: no test may be skipped; make it run or remove it\n", t)
	}
	for _, t := range append(s.broken, s.failed...) {
		fmt.Fprintf(s.out, "FAILED %s\n", t)
	}
	if s.passed+len(s.failed) == 0 {
		fmt.Fprintln(s.out, "FAILED no test ran")
	}
	fmt.Fprintf(s.out, "%d passed, %d failed, %d skipped\n", s.passed, len(s.failed), len(s.skipped))
	return s.passed > 0 && len(s.failed)+len(s.skipped)+len(s.broken) == 0
}
