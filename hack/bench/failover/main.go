//go:build linux

/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

// Command failover races leader elections: client-go with a Lease in Kubernetes, and with our lock in MongoDB, strict, with fast Get, and with
// long polls. All run at the same time on the same machine, with the same timings, time-outs and scheme of identities, each candidate in a
// process of its own behind a proxy of its own. One observer stamps nothing itself: the candidates stamp what they do on the machine's
// monotonic clock, which they share. "make bench-failover" builds and runs it.
//
// It prints a table beside the targets, and writes failover.json, anew after each fault, and a plot. A trial that fails is counted, and the next
// one follows. It exits with 0 also when a target is missed, and with 1 when a trial failed.
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
	orders := flag.String(candidateFlag, "", "Be a candidate with these orders: for the benchmark itself.")
	quick := flag.Bool("quick", false, "Take so few samples that it ends within two minutes: to see that it works, not for figures.")
	out := flag.String("out", "bin/bench", "The folder for failover.json and the plot.")
	docs := flag.String("docs", "", "A folder such as docs/bench to write the plot to instead.")
	seed := flag.Uint64("seed", 0, "Of all random times; 0: a new one, which is printed.")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	if *orders != "" {
		if err := stand(ctx, *orders, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, "candidate:", err)
			os.Exit(1)
		}
		return
	}
	if flag.NArg() > 0 {
		fmt.Fprintf(os.Stderr, "error: unexpected %q: failover takes flags only, see -help\n", flag.Args())
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
	p.Seed = *seed
	if err := run(ctx, screen.New(os.Stdout), p, *out, *docs); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}
