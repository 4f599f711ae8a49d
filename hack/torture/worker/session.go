//go:build linux

/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package worker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/mongolock/operator/hack/task"
	"github.com/mongolock/operator/hack/torture/history"
	"github.com/mongolock/operator/hack/torture/locker"
	"github.com/mongolock/operator/hack/torture/plan"
	"github.com/mongolock/operator/pkg/mongolock"
)

const (
	// beat is the time between two looks of a holder at its lease.
	beat = 40 * time.Millisecond
	// callTimeout bounds calls that do not bound themselves.
	callTimeout = 10 * time.Second
)

// session does one thing after another.
type session struct {
	worker *Worker
	locker locker.Locker
	admin  *mongolock.Client // nil when a control takes the place of mongolock
	steps  *plan.Session
	name   string
	number int
}

func (s *session) run(ctx context.Context) {
	for ctx.Err() == nil {
		step := s.steps.Next()
		switch step.Kind {
		case history.Get:
			s.get(ctx, step.Lock)
		case history.Evict:
			s.evict(ctx, step.Lock)
		default:
			s.acquire(ctx, step)
		}
		task.Wait(ctx, step.Rest)
	}
}

// begin records a call.
func (s *session) begin(op history.Operation) history.Operation {
	s.number++
	op.ID = fmt.Sprintf("%s-%d", s.name, s.number)
	op.Worker, op.Incarnation = s.worker.orders.Worker, s.worker.orders.Incarnation
	if op.Owner == "" && (op.Kind == history.Try || op.Kind == history.Wait) {
		op.Owner = op.ID
	}
	op.Call = history.Now()
	s.worker.history.Write(history.Record{Operation: &op})
	return op
}

// end records its return.
func (s *session) end(op history.Operation, err error) {
	op.Return = history.Now()
	op.Outcome = outcome(op.Kind, err)
	if err != nil {
		op.Error = err.Error()
		if op.Outcome == history.Refused {
			op.Token = locker.Holder(err)
		}
	}
	s.worker.history.Write(history.Record{Operation: &op})
	if op.Kind != history.Write {
		s.worker.operations.Add(1)
	}
}

// outcome tells what an error says about the effect of a call.
func outcome(kind history.Kind, err error) history.Outcome {
	switch {
	case err == nil:
		return history.OK
	case errors.Is(err, mongolock.ErrOutcomeUnknown):
		return history.Unknown
	case errors.Is(err, mongolock.ErrHeld), errors.Is(err, errStale):
		return history.Refused
	case errors.Is(err, mongolock.ErrNotHeld), errors.Is(err, mongolock.ErrLeaseLost):
		return history.NotHeld
	case errors.Is(err, mongolock.ErrForeignDocument), kind == history.Get, kind == history.Wait:
		return history.Failed
	case errors.Is(err, mongolock.ErrUnreachable) && kind == history.Try:
		return history.Failed // its documentation says so
	}
	return history.Unknown
}

func (s *session) acquire(ctx context.Context, step plan.Step) {
	a := locker.Acquisition{Owner: step.Twin, Lease: step.Lease, Shared: step.Shared, Barge: step.Barge, NoRenew: step.Abandon}
	op := s.begin(history.Operation{
		Kind: step.Kind, Lock: step.Lock, Owner: step.Twin, Shared: step.Shared, Barge: step.Barge, Lease: a.Lease, Margin: a.Margin(),
	})
	a.Owner = op.Owner
	var grant locker.Grant
	var err error
	if step.Kind == history.Try {
		grant, err = s.locker.TryLock(ctx, step.Lock, a)
	} else {
		patience, cancel := context.WithTimeout(ctx, step.Patience)
		grant, err = s.locker.Lock(patience, step.Lock, a)
		cancel()
	}
	if err == nil {
		op.Token, op.Deadline = grant.Token(), history.At(grant.Deadline())
	}
	s.end(op, err)
	if err == nil {
		h := &hold{session: s, grant: grant, op: op, step: step}
		s.worker.waiting.Go(h.awaitEnd)
		h.run(ctx)
	}
}

func (s *session) get(ctx context.Context, lock string) {
	op := s.begin(history.Operation{Kind: history.Get, Lock: lock})
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	state, err := s.admin.Get(ctx, lock)
	for _, h := range state.Holders {
		op.Tokens = append(op.Tokens, h.Token)
	}
	s.end(op, err)
}

// evict takes the lock from whoever holds it.
func (s *session) evict(ctx context.Context, lock string) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	state, err := s.admin.Get(ctx, lock)
	if err != nil || len(state.Holders) == 0 {
		return
	}
	op := s.begin(history.Operation{Kind: history.Evict, Lock: lock, Token: state.Holders[0].Token})
	s.end(op, s.admin.Evict(ctx, lock, op.Token, "for the sake of torture"))
}
