//go:build linux

/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package worker

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/client-go/tools/leaderelection"
	rl "k8s.io/client-go/tools/leaderelection/resourcelock"
	"k8s.io/klog/v2"

	"github.com/mongolock/operator/hack/task"
	"github.com/mongolock/operator/hack/torture/history"
	"github.com/mongolock/operator/hack/torture/locker"
	"github.com/mongolock/operator/hack/torture/plan"
	"github.com/mongolock/operator/pkg/mongolock"
	"github.com/mongolock/operator/pkg/resourcelock"
)

// The timings of the election.
const (
	electionLease    = 2 * time.Second
	electionDeadline = time.Second
	electionRetry    = 300 * time.Millisecond
)

// stand stands for leadership again and again, through client-go's elector.
func (w *Worker) stand(ctx context.Context, client *mongolock.Client) {
	const number = 9999
	s := &session{worker: w, admin: client, name: fmt.Sprintf("w%d.%d-lead", w.orders.Worker, w.orders.Incarnation)}
	locks := plan.Locks{Names: []string{w.orders.Election}, Simple: true}
	s.steps = plan.NewSession(w.orders.Seed, w.orders.Worker, w.orders.Incarnation, number, locks)
	for ctx.Err() == nil {
		step := s.steps.Next()
		s.lead(ctx, client, 10*step.Hold)
		task.Wait(ctx, step.Rest)
	}
}

// lead runs an elector until it has led for a while, has lost leadership or the load ends.
func (s *session) lead(ctx context.Context, client *mongolock.Client, term time.Duration) {
	c := &candidate{session: s}
	c.op = history.Operation{Kind: history.Lead, Lock: s.worker.orders.Election, Lease: electionLease}
	c.op.Margin = locker.Acquisition{Lease: electionLease}.Margin()
	c.op.Owner = fmt.Sprintf("%s-%d", s.name, s.number+1) // the ID that begin gives
	c.op = s.begin(c.op)
	namespace, name, _ := strings.Cut(c.op.Lock, "/")
	var err error
	c.Lock, err = resourcelock.New(client, resourcelock.Config{
		Namespace: namespace, Name: name, Identity: c.op.Owner, LeaseDuration: electionLease, RequestTimeout: electionDeadline / 2,
	})
	if err != nil {
		s.end(c.op, err)
		return
	}
	ctx, cancel := context.WithCancel(klog.NewContext(ctx, logr.Discard()))
	defer cancel()
	served := make(chan struct{})
	elector, err := leaderelection.NewLeaderElector(leaderelection.LeaderElectionConfig{
		Lock: c, LeaseDuration: electionLease, RenewDeadline: electionDeadline, RetryPeriod: electionRetry, ReleaseOnCancel: true,
		Callbacks: leaderelection.LeaderCallbacks{
			OnStartedLeading: func(ctx context.Context) {
				defer close(served)
				c.serve(ctx, term)
				cancel()
			},
			OnStoppedLeading: func() {},
		},
	})
	if err != nil {
		s.end(c.op, err)
		return
	}
	elector.Run(ctx)
	if c.led {
		<-served // it runs in a goroutine of its own
	} else {
		s.end(c.op, fmt.Errorf("%w: the candidate stopped before it led", mongolock.ErrOutcomeUnknown))
	}
}

// candidate is the lock of an elector, which tells the history what the elector does.
type candidate struct {
	*resourcelock.Lock
	session *session
	op      history.Operation
	led     bool
}

// RecordEvent is called by the elector when it has become leader, before it does anything else.
func (c *candidate) RecordEvent(what string) {
	c.Lock.RecordEvent(what)
	if c.led {
		return // it has stopped leading
	}
	c.led = true
	if c.op.Token, _ = c.Token(); c.op.Token == 0 {
		c.session.end(c.op, fmt.Errorf("%w: leadership was lost when it began", mongolock.ErrOutcomeUnknown))
		return
	}
	c.op.Deadline = c.op.Call // it is not told
	c.session.end(c.op, nil)
}

// Update records when leadership is given up. The elector is not told whether there was any to give up.
func (c *candidate) Update(ctx context.Context, record rl.LeaderElectionRecord) error {
	if record.HolderIdentity != "" || !c.led {
		return c.Lock.Update(ctx, record)
	}
	op := c.session.begin(history.Operation{Kind: history.Unlock, Lock: c.op.Lock, Grant: c.op.ID, Token: c.op.Token})
	err := c.Lock.Update(ctx, record)
	c.session.end(op, mongolock.ErrOutcomeUnknown)
	return err
}

// serve does the leader's work.
func (c *candidate) serve(ctx context.Context, term time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, term)
	defer cancel()
	for write := true; c.believes() && ctx.Err() == nil; task.Wait(ctx, beat) {
		if write {
			(&hold{session: c.session, op: c.op}).write()
		}
		write = !write
	}
}

// believes asks the lock, and records the answer. The lock does not tell its deadline; that it had not passed is known.
func (c *candidate) believes() bool {
	b := history.Belief{Grant: c.op.ID, At: history.Now()}
	_, b.Held = c.Token()
	if b.Held {
		b.Deadline = b.At
	}
	c.session.worker.history.Write(history.Record{Belief: &b})
	return b.Held
}
