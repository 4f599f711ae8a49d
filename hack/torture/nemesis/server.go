//go:build linux

/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package nemesis

import (
	"context"
	"fmt"
	"time"

	"github.com/mongolock/operator/hack/task"
	"github.com/mongolock/operator/hack/torture/history"
	"github.com/mongolock/operator/hack/torture/plan"
)

// commandTime is how long a fault waits for commands to hit.
const commandTime = time.Second

// hitServer restarts a server, or breaks it in another way.
func (n *Nemesis) hitServer(ctx context.Context, fault plan.Fault, record *history.Fault) error {
	record.Hits = 1
	switch fault.Kind {
	case plan.Database:
		record.Detail = fmt.Sprintf("down for at least %s", fault.For)
		return n.Database.RestartAfter(ctx, fault.For)
	case plan.Feed:
		record.Detail = fmt.Sprintf("down for at least %s, and then empty", fault.For)
		return n.Feed.RestartAfter(ctx, fault.For)
	case plan.Terminate:
		for record.Hits = 0; record.Hits < fault.Times && ctx.Err() == nil; record.Hits++ {
			if err := n.Database.TerminateBackends(ctx); err != nil {
				return err
			}
		}
		return nil
	}
	record.Detail = fmt.Sprintf("back by %s, and after %s forward again", plan.ClockJump, fault.For)
	if err := n.Database.MoveClock(ctx, -plan.ClockJump); err != nil {
		return err
	}
	task.Wait(ctx, fault.For)
	record.Hits = 2
	return n.Database.MoveClock(context.WithoutCancel(ctx), 0)
}
