//go:build linux

/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

// Command demo runs all of mongolock on this machine: a MongoDB, a Kubernetes API server, two operators of which one leads, three
// workers that contend for two locks, and a live view of what kubectl shows of it. "make demo" builds and runs it.
//
// It runs until Ctrl-C. With -duration it ends by itself: on the way it kills the leading operator and a worker that holds a lock with
// SIGKILL, and at the end it checks everything it has shown. It exits with 0 only if all of that is true.
//
// Linux only, as the servers it runs on.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// minDuration leaves room for two takeovers.
const minDuration = 15 * time.Second

// exitInterrupted is what a shell reports of a program that Ctrl-C has ended.
const exitInterrupted = 130

func main() {
	duration := flag.Duration("duration", 0, "How long to run, such as 30s, at least 15s; the start and the end come on top. 0: until Ctrl-C.")
	worker := flag.String("worker", "", "Be the worker of this name: for the demo itself.")
	database := flag.String("database", "", "The worker's database.")
	flag.Parse()

	if *worker != "" {
		if err := work(context.Background(), *worker, *database, os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, "error:", err)
			os.Exit(1)
		}
		return
	}
	if flag.NArg() > 0 || *duration < 0 || *duration > 0 && *duration < minDuration {
		fmt.Fprintf(os.Stderr, "error: duration %s %q: it must be at least %s, as DURATION=30s, or unset to run until Ctrl-C\n",
			*duration, flag.Args(), minDuration)
		os.Exit(2)
	}
	// SIGPIPE is there because a reader of the output that goes away must not prevent the clean-up. The clean-up is bounded, so further
	// signals do not cut it short.
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGPIPE)
	defer stop()
	os.Exit(run(ctx, newScreen(os.Stdout), *duration))
}
