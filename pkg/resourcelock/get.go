/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package resourcelock

import (
	"context"
	"fmt"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	rl "k8s.io/client-go/tools/leaderelection/resourcelock"

	"github.com/mongolock/operator/pkg/mongolock"
)

// pollWindow bounds a long poll. An elector pauses after each call, and is blind meanwhile, so it is much longer than a pause.
const pollWindow = 10 * time.Minute

// Get reads the record. apierrors.IsNotFound is true of the error when the lock has no document. When nobody holds the lock by the
// server's clock, because it was released or because its lease ended, the record has no holder, and the elector takes over at once
// instead of counting a lease duration from its own first look. The server decides again when it does.
//
// A candidate whose last Get found somebody else in the lead waits in the next one, for up to ten minutes, and returns the moment that this
// changes. With a feed, see [github.com/mongolock/operator/pkg/mongolock.WithFeed], that is at once, and about two seconds later if the
// message was lost. Without one it looks itself, four times a second at first and about every two seconds in the long run, and the end of a
// lease it sees at once in both cases. That is safe, as an elector takes the time before it asks. When the server does not answer, Get
// returns after half a second more than the request timeout, however long the poll might still last.
//
// The raw form changes with each grant and each renewal and at no other time: the elector tells by it that a leader is alive.
//
// After a lost term Get fails like Update, without asking the server: all that the elector has left to do is to stop, and it must
// not wait for a server that may be the reason of the loss.
func (l *Lock) Get(ctx context.Context) (*rl.LeaderElectionRecord, []byte, error) {
	_, lease, err := l.begin()
	if err != nil {
		return nil, nil, err
	}
	state, err := l.look(ctx, lease)
	if err != nil {
		return nil, nil, err
	}
	if !state.Exists {
		return nil, nil, apierrors.NewNotFound(resource, l.id)
	}
	l.seen.Store(true)
	record, raw := view(state)
	if l.config.DisableFastGet {
		record, raw = l.last.unexpired(l.config, state, record, raw)
	}
	return record, raw, nil
}

// look reads the lock; if the last look found another in the lead, when that changes.
func (l *Lock) look(ctx context.Context, lease *mongolock.Lease) (mongolock.State, error) {
	if following, ok := l.last.following(); ok && lease == nil && l.polls.Load() {
		poll, cancel := context.WithTimeout(ctx, pollWindow)
		state, err := l.client.AwaitChange(poll, following)
		cancel()
		if err == nil {
			l.last.set(state)
			return state, nil
		}
	}
	ctx, cancel := l.bound(ctx, lease)
	defer cancel()
	state, err := l.client.Get(ctx, l.id)
	if err != nil {
		l.last.set(mongolock.State{})
		return state, l.failed("get", err)
	}
	if lease == nil {
		l.last.set(state)
		return state, nil
	}
	l.last.set(mongolock.State{})
	if !holds(state, lease.Token()) {
		// Somebody ended our lease and the elector, which is about to read it, may never renew again. Renewing tells the lease.
		return state, l.renew(ctx, lease)
	}
	return state, nil
}

func holds(state mongolock.State, token int64) bool {
	return slices.ContainsFunc(state.Holders, func(h mongolock.Holder) bool { return h.Token == token })
}

// view translates a lock into an elector's record and the record's raw form, "owner|token|revision|lease". All times are the
// server's.
func view(state mongolock.State) (*rl.LeaderElectionRecord, []byte) {
	transitions := int(max(0, state.Grants-1)) // the first grant is not a transition
	if !state.Held() {
		return &rl.LeaderElectionRecord{
			LeaseDurationSeconds: 1, // as in client-go's own record of a release; zero is not valid everywhere
			AcquireTime:          metav1.NewTime(state.ChangedAt),
			RenewTime:            metav1.NewTime(state.ChangedAt),
			LeaderTransitions:    transitions,
		}, fmt.Appendf(nil, "|%d||", state.Token)
	}
	h := state.Holders[0]
	return &rl.LeaderElectionRecord{
		HolderIdentity:       h.Owner,
		LeaseDurationSeconds: int((h.Lease + time.Second - 1) / time.Second), // whole seconds, never too short
		AcquireTime:          metav1.NewTime(h.AcquiredAt),
		RenewTime:            metav1.NewTime(h.ExpiresAt.Add(-h.Lease)),
		LeaderTransitions:    transitions,
	}, fmt.Appendf(nil, "%s|%d|%d|%d", h.Owner, h.Token, h.Revision, h.Lease.Milliseconds())
}
