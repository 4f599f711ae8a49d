//go:build linux

/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package main

import (
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
	"sync"
	"time"
)

// width is how many columns a line of the live view may have.
const width = 120

// screen prints lines of several sources, each behind the time and the name of its source.
type screen struct {
	mu     sync.Mutex
	out    io.Writer
	colour bool
	begin  time.Time
}

// newScreen prints to a file; in colour if that is a terminal and NO_COLOR is not set.
func newScreen(out *os.File) *screen {
	info, err := out.Stat()
	terminal := err == nil && info.Mode()&os.ModeCharDevice != 0
	return &screen{out: out, colour: terminal && os.Getenv("NO_COLOR") == "", begin: time.Now()}
}

// say prints what the demo itself does.
func (s *screen) say(format string, args ...any) { s.line("demo", fmt.Sprintf(format, args...)) }

// line prints one line of a source, cut to the width. Only lines of the demo itself are never cut.
func (s *screen) line(source, text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	text = strings.TrimRight(text, " \n")
	prefix := fmt.Sprintf("%5.1fs %-8s ", time.Since(s.begin).Seconds(), source)
	if room := []rune(text); source != "demo" && len(prefix)+len(room) > width {
		text = string(room[:width-len(prefix)-1]) + "…"
	}
	if !s.colour {
		fmt.Fprintf(s.out, "%s%s\n", prefix, text)
		return
	}
	fmt.Fprintf(s.out, "\033[%sm%s\033[0m%s\n", colourOf(source), prefix, text)
}

// block prints text as it is under a title.
func (s *screen) block(title, text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.colour {
		title = "\033[1m" + title + "\033[0m"
	}
	fmt.Fprintf(s.out, "\n%s\n%s\n", title, strings.TrimRight(text, "\n"))
}

var uuid = regexp.MustCompile(`([0-9a-f]{8})-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`)

// shorten cuts the random part of the operators' identities, which otherwise fill a line.
func shorten(text string) string { return uuid.ReplaceAllString(text, "$1…") }

func colourOf(source string) string {
	switch source {
	case "demo":
		return "1" // bold
	case "kill":
		return "1;31" // red
	case "dlock":
		return "36" // cyan
	case "event":
		return "33" // yellow
	default:
		return "32" // green
	}
}
