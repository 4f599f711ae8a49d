//go:build linux

/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

// Command bench measures the lock engine of mongolock side by side with other locks, in one run on one server: with what any lock in
// MongoDB has to pay, with mongo-dlock of npm, and for reference with etcd's mutex. "make bench" builds and runs it.
//
// It prints its figures beside the targets that they were set, says which are met and which are missed, and writes engine.json and
// plots. It exits with 0 also when a target is missed, and with 1 when something could not be measured.
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

	"github.com/mongolock/operator/hack/screen"
)

func main() {
	quick := flag.Bool("quick", false, "Take so few samples that it ends within two minutes: to see that it works, not for figures.")
	out := flag.String("out", "bin/bench", "The folder for engine.json, the plots and the Node worker.")
	docs := flag.String("docs", "", "A folder such as docs/bench to write the plots to instead.")
	seed := flag.Uint64("seed", 0, "Of the order of the contenders and of all random times; 0: a new one, which is printed.")
	hold := flag.Bool("hold", false, "Be the process that holds many leases: for the benchmark itself.")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGPIPE)
	defer stop()
	if *hold {
		if err := holdMany(ctx, os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, "error:", err)
			os.Exit(1)
		}
		return
	}
	if flag.NArg() > 0 {
		fmt.Fprintf(os.Stderr, "error: unexpected %q: bench takes flags only, see -help\n", flag.Args())
		os.Exit(2)
	}
	if *seed == 0 {
		*seed = uint64(time.Now().UnixNano())
	}
	if *docs == "" {
		*docs = *out
	}
	p := fullPlan()
	if *quick {
		p = quickPlan()
	}
	p.seed, p.out, p.plots = *seed, *out, *docs
	os.Exit(run(ctx, screen.New(os.Stdout), p))
}
