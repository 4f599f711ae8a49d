//go:build linux

/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

// Command operator measures what the operator costs, and how soon it shows what happens, with thousands of locks: the real operator as a
// process of its own, on a real API server and a real MongoDB, while other processes hold, renew, release and acquire the locks.
// "make bench-operator" builds and runs it.
//
// It prints a table for each size beside the targets, and writes operator.json, anew after each phase, and a figure. A missed target is a
// result, and so is a size that the machine cannot carry: it exits with 0 all the same, and with 1 when a phase failed.
//
// Linux only, as the servers it runs on.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/mongolock/operator/hack/screen"
)

func main() {
	hold := flag.Bool("hold", false, "Be a process that holds locks: for the benchmark itself.")
	quick := flag.Bool("quick", false, "Take a small size and short windows, to end within about two minutes: to see that it works, not for figures.")
	out := flag.String("out", "bin/bench", "The folder for operator.json, the figure, the operator and its log.")
	docs := flag.String("docs", "", "A folder such as docs/bench to write the figure to instead.")
	seed := flag.Uint64("seed", 0, "Of the choice of locks; 0: a new one, which is printed.")
	sizes := flag.String("sizes", "", "How many objects, in increasing order; default 1000,3000,10000, or 200 if quick.")
	rate := flag.Int("rate", 100, "Transitions a second.")
	clients := flag.Int("clients", 2, "How many processes hold the locks.")
	flags := flag.String("operator-flags", "", "Further flags for the operator, separated by spaces.")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	if *hold {
		if err := holdLocks(ctx, os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, "client:", err)
			os.Exit(1)
		}
		return
	}
	p := fullPlan()
	if *quick {
		p = quickPlan()
	}
	p.Rate, p.Clients, p.Seed, p.Flags = *rate, *clients, *seed, strings.Fields(*flags)
	if p.Seed == 0 {
		p.Seed = uint64(time.Now().UnixNano())
	}
	if *docs == "" {
		*docs = *out
	}
	err := p.validate(*sizes, flag.Args())
	if err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(2)
	}
	if err := run(ctx, screen.New(os.Stdout), p, *out, *docs); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

// validate takes in the sizes, and refuses what cannot work.
func (p *plan) validate(sizes string, arguments []string) error {
	if len(arguments) > 0 {
		return fmt.Errorf("unexpected %q: operator takes flags only, see -help", arguments)
	}
	if sizes != "" {
		p.Sizes = nil
		for field := range strings.SplitSeq(sizes, ",") {
			n, err := strconv.Atoi(field)
			if err != nil {
				return fmt.Errorf("-sizes: %q is no number", field)
			}
			p.Sizes = append(p.Sizes, n)
		}
	}
	switch {
	case p.Rate < 1 || p.Rate > 1000:
		return fmt.Errorf("-rate must be 1 to 1000")
	case p.Clients < 1:
		return fmt.Errorf("-clients must be at least 1")
	case p.Sizes[0] < 10*p.Clients || !slices.IsSorted(p.Sizes) || len(slices.Compact(slices.Clone(p.Sizes))) < len(p.Sizes):
		return fmt.Errorf("-sizes must increase, and begin with at least %d", 10*p.Clients)
	}
	return nil
}
