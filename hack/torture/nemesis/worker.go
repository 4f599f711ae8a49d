//go:build linux

/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package nemesis

import (
	"context"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/mongolock/operator/hack/faultproxy"
	"github.com/mongolock/operator/hack/task"
	"github.com/mongolock/operator/hack/torture/history"
	"github.com/mongolock/operator/hack/torture/plan"
)

// hitProcess kills or pauses a worker.
func (n *Nemesis) hitProcess(ctx context.Context, fault plan.Fault, record *history.Fault) error {
	member := n.Crew.Members[record.Worker]
	if fault.Kind == plan.Pause {
		resume, ok := member.Pause()
		if ok {
			record.Hits = 1
			task.Wait(ctx, fault.For)
			resume()
		}
		return nil
	}
	if !member.Kill() {
		return nil // another fault has just killed it
	}
	record.Hits = 1
	task.Wait(ctx, fault.For)
	if ctx.Err() != nil {
		return nil
	}
	return member.Start(ctx)
}

// hitCommands hits commands of a worker that change locks.
func (n *Nemesis) hitCommands(ctx context.Context, fault plan.Fault, record *history.Fault) error {
	proxy := n.Crew.Members[record.Worker].Proxy
	spec := faultproxy.Fault{Times: fault.Times, Match: changesLock}
	switch fault.Kind {
	case plan.Cut:
		spec.Kind = faultproxy.DropRequest
	case plan.LostReply:
		spec.Kind = faultproxy.DropReply
	case plan.Late:
		spec.Kind, spec.For = faultproxy.HoldRequest, fault.For
	case plan.Delay:
		spec.Kind, spec.For = faultproxy.HoldReply, fault.For
	}
	injection := proxy.Inject(spec)
	ctx, cancel := context.WithTimeout(ctx, 2*fault.For+commandTime)
	defer cancel()
	select {
	case <-injection.Done():
	case <-ctx.Done():
	}
	proxy.Withdraw(injection)
	record.Hits = injection.Count()
	return nil
}

// changesLock tells whether a command may change a lock.
func changesLock(command bson.Raw) bool {
	first, err := command.IndexErr(0)
	return err == nil && (first.Key() == "findAndModify" || first.Key() == "update")
}

// hitConnections hits all connections of a worker.
func (n *Nemesis) hitConnections(ctx context.Context, fault plan.Fault, record *history.Fault) error {
	proxy := n.Crew.Members[record.Worker].Proxy
	record.Hits = proxy.Connections()
	if fault.Kind == plan.Reset {
		proxy.Sever()
		return nil
	}
	proxy.Blackhole()
	task.Wait(ctx, fault.For)
	proxy.Heal()
	return nil
}
