//go:build linux

/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

// Command torture breaks everything that mongolock depends on while worker processes use its locks, and judges afterwards whether the
// locks kept what they promise. "make torture" builds and runs it.
//
// It exits with 0 when every promise was kept, every fault fired and every control was caught; with 1 when not; with 2 when it was
// called wrongly.
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
	"strings"
	"syscall"
	"time"

	"github.com/mongolock/operator/hack/screen"
	"github.com/mongolock/operator/hack/torture/crew"
	"github.com/mongolock/operator/hack/torture/plan"
	"github.com/mongolock/operator/hack/torture/worker"
)

// settings are the parameters of a run.
type settings struct {
	duration time.Duration
	seed     uint64
	kinds    []string
	out      string
	workers  int
	controls bool
	floor    float64
	judge    string // a folder
}

const (
	minDuration = 15 * time.Second
	minWorkers  = 8
)

func main() {
	orders := flag.String(crew.Flag, "", "Be a worker with these orders: for the rig itself.")
	s := settings{}
	flag.DurationVar(&s.duration, "duration", time.Minute, "How long the load lasts. All kinds of fault fit into a minute.")
	flag.Uint64Var(&s.seed, "seed", 0, "Of the schedules of operations and faults; 0: a new one, which is printed.")
	kinds := flag.String("faults", strings.Join(plan.Kinds, ","), "Kinds of fault to inject; empty: none, which is no proof of anything.")
	flag.StringVar(&s.out, "out", "bin/torture", "Folder for report.json, the history and pictures; what an earlier run left there is removed.")
	flag.IntVar(&s.workers, "workers", minWorkers, "Number of worker processes.")
	flag.BoolVar(&s.controls, "controls", true, "First run the controls: locks that are wrong on purpose and have to be caught.")
	flag.Float64Var(&s.floor, "floor", 100, "Operations a second that have to go through outside of outages.")
	flag.StringVar(&s.judge, "judge", "", "Run nothing, and judge the history in this folder again, such as bin/torture/lock.")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	if *orders != "" {
		if err := worker.Run(ctx, *orders, os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, "worker:", err)
			os.Exit(1)
		}
		return
	}
	var err error
	if s.kinds, err = parseKinds(*kinds); err == nil {
		err = s.validate(flag.Args())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(2)
	}
	if s.seed == 0 {
		s.seed = uint64(time.Now().UnixNano())
	}
	act := torture
	if s.judge != "" {
		act = judgeAgain
	}
	passed, err := act(ctx, screen.New(os.Stdout), s)
	if err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
	}
	if err != nil || !passed {
		os.Exit(1)
	}
}

func (s settings) validate(rest []string) error {
	switch {
	case len(rest) > 0:
		return fmt.Errorf("unexpected %q: torture takes flags only, see -help", rest)
	case s.duration < minDuration:
		return fmt.Errorf("duration %s is too short for a fault and what follows from it: at least %s", s.duration, minDuration)
	case s.workers < minWorkers:
		return fmt.Errorf("%d workers are too few to get in each other's way: at least %d", s.workers, minWorkers)
	}
	return nil
}

func parseKinds(text string) ([]string, error) {
	var kinds []string
	for kind := range strings.SplitSeq(text, ",") {
		switch kind = strings.TrimSpace(kind); {
		case kind == "":
		case !slices.Contains(plan.Kinds, kind):
			return nil, fmt.Errorf("there is no fault %q; there are %s", kind, strings.Join(plan.Kinds, ", "))
		case !slices.Contains(kinds, kind):
			kinds = append(kinds, kind)
		}
	}
	return kinds, nil
}
