//go:build linux

/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
)

// screen prints what the rig does, behind the time since its start.
type screen struct {
	mu    sync.Mutex
	out   io.Writer
	begin time.Time
}

func newScreen(out io.Writer) *screen { return &screen{out: out, begin: time.Now()} }

func (s *screen) say(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fmt.Fprintf(s.out, "%6.1fs  %s\n", time.Since(s.begin).Seconds(), fmt.Sprintf(format, args...))
}

// block prints text as it is under a title.
func (s *screen) block(title, text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fmt.Fprintf(s.out, "\n%s\n%s\n", title, strings.TrimRight(text, "\n"))
}

// during says every ten seconds that something is still at work, until the returned function is called.
func (s *screen) during(ctx context.Context, what string) (stop func()) {
	begin := time.Now()
	return goUntilStopped(ctx, func(ctx context.Context) {
		for wait(ctx, 10*time.Second); ctx.Err() == nil; wait(ctx, 10*time.Second) {
			s.say("  still %s, after %.0fs", what, time.Since(begin).Seconds())
		}
	})
}

// goUntilStopped runs f until the returned function is called, which waits for its end.
func goUntilStopped(ctx context.Context, f func(context.Context)) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		f(ctx)
	}()
	return func() {
		cancel()
		<-done
	}
}

// wait waits for d or until ctx ends.
func wait(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
