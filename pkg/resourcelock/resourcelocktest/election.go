/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package resourcelocktest

import (
	"cmp"
	"context"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/leaderelection"
	rl "k8s.io/client-go/tools/leaderelection/resourcelock"
)

// preparation bounds what has to happen before a scenario can begin. It says nothing about the lock, so it is long.
const preparation = 30 * time.Second

// election is a scenario's backend and the electors that it runs.
type election struct {
	Backend
	t       testing.TB
	running []*elector
}

// candidate makes the lock of a new candidate.
func (e *election) candidate(identity string) Candidate {
	return e.candidateFor(identity, e.LeaseDuration)
}

func (e *election) candidateFor(identity string, lease time.Duration) Candidate {
	c := e.New(e.t, identity, lease)
	c.Lock = timed{c.Lock, lease + 2*slow} // a Get that waits for the end of a lease is in time
	return c
}

// lock is for a candidate of which only the lock is of interest.
func (e *election) lock(identity string) rl.Interface { return e.candidate(identity).Lock }

// longestRetry is how long an elector pauses at most between two tries to be elected.
func (e *election) longestRetry() time.Duration {
	return time.Duration((1 + leaderelection.JitterFactor) * float64(e.RetryPeriod))
}

// record is what an elector with this identity asks for.
func (e *election) record(identity string) rl.LeaderElectionRecord {
	now := metav1.Now()
	return rl.LeaderElectionRecord{
		HolderIdentity: identity, LeaseDurationSeconds: int(e.LeaseDuration / time.Second), AcquireTime: now, RenewTime: now,
	}
}

// released is what an elector sends to give leadership up.
func released() rl.LeaderElectionRecord {
	now := metav1.Now()
	return rl.LeaderElectionRecord{LeaseDurationSeconds: 1, AcquireTime: now, RenewTime: now}
}

// lead does what an elector does to be elected.
func (e *election) lead(ctx context.Context, lock rl.Interface) error {
	_, _, err := lock.Get(ctx)
	switch {
	case apierrors.IsNotFound(err):
		err = lock.Create(ctx, e.record(lock.Identity()))
	case err == nil:
		err = lock.Update(ctx, e.record(lock.Identity()))
	}
	if err == nil {
		lock.RecordEvent("became leader")
	}
	return err
}

// holder is who leads by the record, as a candidate sees it.
func holder(ctx context.Context, lock rl.Interface) (string, error) {
	record, _, err := lock.Get(ctx)
	if apierrors.IsNotFound(err) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	return record.HolderIdentity, nil
}

// depose lets a lead and die, and b take over when the lease has ended.
func (e *election) depose(ctx context.Context) (a, b Candidate, err error) {
	a, b = e.candidate("a"), e.candidate("b")
	if err = e.lead(ctx, a.Lock); err != nil {
		return a, b, err
	}
	if _, _, err = b.Lock.Get(ctx); err != nil {
		return a, b, err
	}
	time.Sleep(e.LeaseDuration) // nothing tells of the end of a lease that the lock has no clock for
	return a, b, e.leadEventually(ctx, preparation, b.Lock, "a take-over after the lease")
}

// leadEventually tries until the lock leads. A call that does not return ends it.
func (e *election) leadEventually(ctx context.Context, limit time.Duration, lock rl.Interface, what string) error {
	return eventually(ctx, limit, what, func() (bool, error) {
		err := e.lead(ctx, lock)
		if isBreach(err) {
			return false, err
		}
		return err == nil, nil
	})
}

// elect runs an elector until it leads.
func (e *election) elect(ctx context.Context, identity string) (*elector, error) {
	r, err := e.start(ctx, identity)
	if err != nil {
		return nil, err
	}
	return r, within(preparation, r.elected, "the first election")
}

// pair runs two electors, until the first leads and the second has looked and looks again.
func (e *election) pair(ctx context.Context, first, second string) (leader, follower *elector, err error) {
	if leader, err = e.elect(ctx, first); err != nil {
		return nil, nil, err
	}
	if follower, err = e.start(ctx, second); err != nil {
		return nil, nil, err
	}
	looked := func() (bool, error) { return len(follower.operations()) >= 2, nil }
	return leader, follower, eventually(ctx, preparation, "two looks of the follower", looked)
}

// stop ends all electors.
func (e *election) stop() error {
	var late error
	for _, r := range e.running {
		if r.Connection != nil {
			r.Connection.Heal()
		}
		r.cancel()
	}
	for _, r := range e.running {
		late = cmp.Or(late, broken(within(2*e.RenewDeadline+slow, r.done, "the end of an elector, for which the lock has to return")))
	}
	return late
}
