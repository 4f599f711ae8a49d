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

	corev1 "k8s.io/api/core/v1"
	kube "sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/mongolock/operator/hack/bench/gauge"
	"github.com/mongolock/operator/hack/task"
)

// restarting is what a restart cost. The window is the first 30 s of the new process.
type restarting struct {
	window
	// Elected are the event writes among them that tell of the election: everything else about that is in MongoDB.
	Elected int     `json:"election_events"`
	Stop    float64 `json:"stop_s"`
	Ready   float64 `json:"ready_s"`
}

// restart stops the operator and starts it again. Ready is from the start of the process until it passes its readiness check, leads, and has
// read all locks.
func (b *bench) restart(ctx context.Context, r *result) error {
	b.rest(ctx)
	b.screen.Say("  restart, and %s of watching", restartWindow)
	defer b.screen.During(ctx, "restarting")()
	s := &restarting{}
	took, err := b.keeper.stop()
	if err != nil {
		return err
	}
	s.Stop = seconds(int64(took))
	before, err := b.electionEvents(ctx)
	if err != nil {
		return err
	}
	w, err := b.during(ctx, func() (err error) {
		s.Ready, err = b.firstSteps(ctx)
		return err
	})
	if err != nil {
		return err
	}
	after, err := b.electionEvents(ctx)
	if err != nil {
		return err
	}
	s.window, s.Elected = *w, after-before
	all := w.all() - float64(s.Elected)
	b.screen.Say("  stopped in %.2f s, ready %.2f s after the start, %.0f writes to the API server besides %d events of the election",
		s.Stop, s.Ready, all, s.Elected)
	r.Restart, r.RestartReady, r.RestartWrites = s, &s.Ready, &all
	b.keeper.sample()
	return nil
}

// firstSteps starts an operator, and returns when it was ready and its first 30 s are over.
func (b *bench) firstSteps(ctx context.Context) (ready float64, err error) {
	if err := b.keeper.start(); err != nil {
		return 0, err
	}
	p := b.keeper.process()
	if err := b.ready(ctx); err != nil {
		return 0, err
	}
	ready = seconds(gauge.Now() - p.began)
	task.Wait(ctx, restartWindow-duration(gauge.Now()-p.began))
	if !p.Alive() {
		return 0, fmt.Errorf("the operator ended by itself: %s", p.Cmd.ProcessState)
	}
	return ready, context.Cause(ctx)
}

// electionEvents counts the Kubernetes events about elections.
func (b *bench) electionEvents(ctx context.Context) (int, error) {
	var list corev1.EventList
	err := b.stack.api.List(ctx, &list, kube.MatchingFields{"reason": "LeaderElection"})
	return len(list.Items), err
}
