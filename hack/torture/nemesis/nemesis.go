//go:build linux

/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

// Package nemesis breaks what the locks depend on, by plan: processes, network, servers, the clock, documents.
package nemesis

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"

	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/mongolock/operator/hack/servers"
	"github.com/mongolock/operator/hack/task"
	"github.com/mongolock/operator/hack/torture/audit"
	"github.com/mongolock/operator/hack/torture/crew"
	"github.com/mongolock/operator/hack/torture/history"
	"github.com/mongolock/operator/hack/torture/plan"
)

// Nemesis is what it can reach. All fields but Tell are needed by the kinds of fault that use them.
type Nemesis struct {
	Crew           *crew.Crew
	Database, Feed *servers.Server
	// Collections are those of the locks, past all proxies.
	Collections map[string]*mongo.Collection
	Auditor     *audit.Auditor
	// Declare sets the policy of a lock, after its document was deleted.
	Declare func(ctx context.Context, lock string) error
	History *history.Writer
	// Tell is told of each fault that has ended.
	Tell func(history.Fault)

	// server is held over each fault that changes a server or a document, as these cannot be told apart when they overlap.
	server sync.Mutex
}

// Run injects the faults at their times from begin on, and returns when the last has ended, or with the first error.
func (n *Nemesis) Run(ctx context.Context, begin history.Stamp, faults []plan.Fault) error {
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	var running sync.WaitGroup
	for _, fault := range faults {
		task.Wait(ctx, begin.Add(fault.At).Sub(history.Now()))
		if ctx.Err() != nil {
			break
		}
		running.Go(func() {
			if err := n.inject(ctx, fault); err != nil {
				fail(fmt.Errorf("the fault %q: %w", fault.Kind, err))
			}
		})
	}
	running.Wait()
	return context.Cause(ctx)
}

// tries is how many workers or documents a fault is tried on before it is taken to have missed: a worker may have just been killed, or a
// document deleted.
const tries = 3

// inject injects one fault, waits for its end and records it.
func (n *Nemesis) inject(ctx context.Context, fault plan.Fault) error {
	for try := range tries {
		record := history.Fault{Kind: fault.Kind, Worker: -1}
		var act func(context.Context, plan.Fault, *history.Fault) error
		switch {
		case plan.Outage(fault.Kind), fault.Kind == plan.Feed:
			act = n.hitServer
		case plan.OnDocument(fault.Kind):
			fault.Lock = n.other(fault.Lock, try)
			record.Lock, act = fault.Lock, n.hitDocument
		default:
			record.Worker = (fault.Worker + try) % len(n.Crew.Members)
			act = n.onWorker(fault.Kind)
		}
		if err := n.do(ctx, act, fault, &record); err != nil || record.Hits > 0 || ctx.Err() != nil {
			return err
		}
	}
	return nil
}

// onWorker is how a fault of a worker is injected.
func (n *Nemesis) onWorker(kind string) func(context.Context, plan.Fault, *history.Fault) error {
	switch kind {
	case plan.Kill, plan.Pause:
		return n.hitProcess
	case plan.Blackhole, plan.Reset:
		return n.hitConnections
	}
	return n.hitCommands
}

func (n *Nemesis) do(
	ctx context.Context, act func(context.Context, plan.Fault, *history.Fault) error, fault plan.Fault, record *history.Fault,
) error {
	if record.Worker < 0 {
		n.server.Lock()
		defer n.server.Unlock()
	}
	record.From = history.Now()
	if err := act(ctx, fault, record); err != nil {
		return err
	}
	record.Until = history.Now()
	n.History.Write(history.Record{Fault: record})
	n.Tell(*record)
	return nil
}

// other is the lock so many places after the named one.
func (n *Nemesis) other(lock string, places int) string {
	names := slices.Sorted(maps.Keys(n.Collections))
	return names[(slices.Index(names, lock)+places)%len(names)]
}
