//go:build linux

/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package worker

import (
	"context"
	"time"

	"github.com/mongolock/operator/hack/task"
	"github.com/mongolock/operator/hack/torture/history"
	"github.com/mongolock/operator/hack/torture/locker"
	"github.com/mongolock/operator/hack/torture/plan"
)

// hold is the time in which a session believes that it holds a lock.
type hold struct {
	session *session
	grant   locker.Grant
	op      history.Operation
	step    plan.Step
}

// run writes to the resource, renews by hand, looks at the lease all the time, and unlocks.
func (h *hold) run(ctx context.Context) {
	var every time.Duration
	if tasks := h.step.Writes + h.step.Renews; tasks > 0 {
		every = h.step.Hold / time.Duration(tasks)
	}
	writes, renews := h.step.Writes, h.step.Renews
	end := time.Now().Add(h.step.Hold)
	next := time.Now()
	for h.believes() && time.Now().Before(end) && ctx.Err() == nil {
		if (writes > 0 || renews > 0) && !time.Now().Before(next) {
			next = next.Add(every)
			if writes > 0 {
				writes--
				task.Wait(ctx, h.step.Think) // a process can be paused between the look at its lease and what it does because of it
				h.write()
			} else {
				renews--
				h.renew(ctx)
			}
			continue
		}
		task.Wait(ctx, min(beat, time.Until(end)))
	}
	if h.step.Abandon && ctx.Err() == nil {
		h.wither(ctx)
		return
	}
	op := h.session.begin(history.Operation{Kind: history.Unlock, Lock: h.op.Lock, Grant: h.op.ID, Token: h.op.Token})
	unlock, cancel := context.WithTimeout(context.WithoutCancel(ctx), callTimeout)
	defer cancel()
	h.session.end(op, h.grant.Unlock(unlock))
}

// wither watches how a lease ends that nobody renews. It does so a little longer than the lease, as it is told by itself.
func (h *hold) wither(ctx context.Context) {
	for ctx.Err() == nil && h.believes() {
		task.Wait(ctx, beat)
	}
}

// believes asks the lease, and records the answer.
func (h *hold) believes() bool {
	b := history.Belief{Grant: h.op.ID, At: history.Now()}
	b.Held = h.grant.Err() == nil
	b.Deadline = history.At(h.grant.Deadline())
	h.session.worker.history.Write(history.Record{Belief: &b})
	return b.Held
}

// awaitEnd does nothing but wait for the lease to say that it is over, as work does that a lease is to stop.
func (h *hold) awaitEnd() {
	select {
	case <-h.grant.Done():
	case <-h.session.worker.closed:
	}
	select {
	case <-h.grant.Done():
		told := history.Told{Grant: h.op.ID, At: history.Now(), Deadline: history.At(h.grant.Deadline())}
		h.session.worker.history.Write(history.Record{Told: &told})
	default: // it never was
	}
}

func (h *hold) renew(ctx context.Context) {
	op := h.session.begin(history.Operation{Kind: history.Renew, Lock: h.op.Lock, Grant: h.op.ID, Token: h.op.Token})
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	err := h.grant.Renew(ctx)
	op.Deadline = history.At(h.grant.Deadline())
	h.session.end(op, err)
}

func (h *hold) write() {
	op := h.session.begin(history.Operation{Kind: history.Write, Lock: h.op.Lock, Grant: h.op.ID, Token: h.op.Token})
	h.session.end(op, h.session.worker.resource.write(op))
}
