//go:build linux

/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package main

import (
	"context"
	"os"
	"os/exec"
	"strings"

	"github.com/mongolock/operator/hack/child"
	"github.com/mongolock/operator/hack/manager"
	"github.com/mongolock/operator/hack/task"
)

// The processes that the demo is about.
var (
	operatorNames = []string{"operator-1", "operator-2"}
	workerNames   = []string{"worker-1", "worker-2", "worker-3"}
)

// startOperators starts the operators and waits until one leads and all locks are mirrored.
func (d *demo) startOperators(ctx context.Context) error {
	d.screen.say("Starting %s.", strings.Join(operatorNames, " and "))
	for _, name := range operatorNames {
		o, err := startOperator(name, d.binary, d.dir, d.kubectl.kubeconfig, d.uri, d.database, d.fail)
		if err != nil {
			return err
		}
		d.operators = append(d.operators, o)
		d.onStop(o.stop)
	}
	d.election = &election{operators: d.operators}
	leader, state, err := d.leader(ctx)
	if err != nil {
		return err
	}
	stop := task.Start(ctx, d.election.run)
	d.onStop(func() error { stop(); return nil })
	if _, err := d.kubectl.run(ctx, "wait", "--for=condition=Ready", "--timeout=30s", "--namespace="+namespace, "dlock", "--all"); err != nil {
		return err
	}
	d.screen.say("%s leads, as %s, and every DistributedLock is Ready.", leader.name, state.Holders[0].Owner)
	return nil
}

// startWorkers starts the workers. What they report goes into the journal and onto the screen.
func (d *demo) startWorkers(context.Context) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	for _, name := range workerNames {
		cmd := exec.Command(self, "-worker="+name, "-database="+d.database)
		cmd.Env = manager.Environment(d.uri)
		cmd.Stdout = &child.Lines{Take: func(line string) {
			r, err := parseReport(line)
			if err != nil {
				d.fail(err)
				return
			}
			d.journal.add(r)
			d.screen.line(name, r.String())
		}}
		cmd.Stderr = &child.Lines{Take: func(line string) { d.screen.line(name, line) }}
		stdin, err := cmd.StdinPipe()
		if err != nil {
			return err
		}
		w, err := start(name, cmd, stdin, d.fail)
		if err != nil {
			return err
		}
		d.workers[name] = w
		d.onStop(w.stop)
	}
	return nil
}
