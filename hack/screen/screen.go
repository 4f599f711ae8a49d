/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

// Package screen prints what a long run of a tool is doing.
package screen

import (
	"context"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/mongolock/operator/hack/task"
)

// Screen prints lines, each behind the time since its start. Its methods may be called from any goroutine.
type Screen struct {
	mu    sync.Mutex
	out   io.Writer
	begin time.Time
}

// New makes a screen, whose time begins now.
func New(out io.Writer) *Screen { return &Screen{out: out, begin: time.Now()} }

// Say prints a line.
func (s *Screen) Say(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fmt.Fprintf(s.out, "%6.1fs  %s\n", time.Since(s.begin).Seconds(), fmt.Sprintf(format, args...))
}

// Block prints text as it is under a title.
func (s *Screen) Block(title, text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fmt.Fprintf(s.out, "\n%s\n%s\n", title, strings.TrimRight(text, "\n"))
}

// During says every ten seconds that something is still at work, until the returned function is called.
func (s *Screen) During(ctx context.Context, what string) (stop func()) {
	begin := time.Now()
	return task.Start(ctx, func(ctx context.Context) {
		for task.Wait(ctx, 10*time.Second); ctx.Err() == nil; task.Wait(ctx, 10*time.Second) {
			s.Say("  still %s, after %.0fs", what, time.Since(begin).Seconds())
		}
	})
}
