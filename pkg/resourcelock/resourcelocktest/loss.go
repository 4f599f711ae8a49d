/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package resourcelocktest

import (
	"context"
	"time"
)

// loss is that a leader learns of its end.
func loss() []scenario {
	return []scenario{
		{name: "S7-deleted", asks: "who lost the record for a moment, because it was deleted, does not lead on", run: returned(displace)},
		{name: "S7-forced", asks: "who lost the record for a moment, by force, does not lead on", run: returned(seize)},
		{name: "S8-deleted", asks: "who lost the record, because it was deleted, learns of it with the next renewal", run: kept(displace)},
		{name: "S8-forced", asks: "who lost the record by force learns of it with the next renewal", run: kept(seize)},
		{name: "S8-blackhole", asks: "with a dead connection the work stops when the lease ends", run: blackholed},
		{name: "S8-stuck", asks: "with a stuck elector the work stops when the lease ends", run: stuck},
		{name: "S9", asks: "with a dead connection and ReleaseOnCancel the work stops before somebody else leads", run: workStopsInTime},
		{name: "S17", asks: "a leader whose record was deleted stops", run: recordDeleted},
	}
}

// taker takes leadership from whoever has it, and gives it to another.
type taker func(ctx context.Context, e *election, by Candidate) error

// displace deletes the record, so that another can make it anew.
func displace(ctx context.Context, e *election, by Candidate) error {
	if e.Delete == nil {
		return errNotRun
	}
	e.Delete(e.t)
	// A leader that makes the record anew at once is in the way, again and again.
	return broken(e.leadEventually(ctx, e.LeaseDuration, by.Lock, "leadership of another, after the record was deleted"))
}

// seize writes another's record over it.
func seize(_ context.Context, e *election, by Candidate) error {
	if e.Seize == nil {
		return errNotRun
	}
	e.Seize(e.t, by.Lock)
	return nil
}

// returned makes a scenario in which the other leads for a moment only.
func returned(take taker) func(ctx context.Context, e *election) error {
	return func(ctx context.Context, e *election) error {
		r, err := e.elect(ctx, "a")
		if err != nil {
			return err
		}
		between := e.candidate("between")
		if err := take(ctx, e, between); err != nil {
			return err
		}
		if err := between.Lock.Update(ctx, released()); err != nil {
			return err
		}
		return broken(within(e.RetryPeriod+e.RenewDeadline+slow, r.stopped, "the end of the work"))
	}
}

// kept makes a scenario in which the other goes on leading.
func kept(take taker) func(ctx context.Context, e *election) error {
	return func(ctx context.Context, e *election) error {
		r, err := e.elect(ctx, "a")
		if err != nil {
			return err
		}
		if err := take(ctx, e, e.candidate("next")); err != nil {
			return err
		}
		return broken(within(e.RetryPeriod+slow, r.stopped, "the end of the work"))
	}
}

func blackholed(ctx context.Context, e *election) error {
	r, err := e.elect(ctx, "a")
	if err != nil {
		return err
	}
	if r.Connection == nil {
		return errNotRun
	}
	r.Connection.Blackhole()
	return r.stopsWithLease(e, time.Now())
}

func stuck(ctx context.Context, e *election) error {
	r, err := e.elect(ctx, "a")
	if err != nil {
		return err
	}
	free := r.jam()
	defer free()
	return r.stopsWithLease(e, time.Now())
}

// stopsWithLease is that the work of a leader stops before the end of its lease, which it cannot have renewed after last.
func (r *elector) stopsWithLease(e *election, last time.Time) error {
	if err := within(e.LeaseDuration+slow, r.stopped, "the end of the work"); err != nil {
		return broken(err)
	}
	if worked := r.stoppedAt.Sub(last); worked > e.LeaseDuration {
		return breach("the work went on for %s after the last renewal", worked)
	}
	return nil
}

func workStopsInTime(ctx context.Context, e *election) error {
	leader, follower, err := e.pair(ctx, "a", "b")
	if err != nil {
		return err
	}
	if leader.Connection == nil {
		return errNotRun
	}
	leader.Connection.Blackhole()
	if err := within(2*e.LeaseDuration+e.longestRetry()+slow, follower.elected, "a take-over"); err != nil {
		return broken(err)
	}
	return leader.stoppedBefore(follower)
}

func recordDeleted(ctx context.Context, e *election) error {
	if e.Delete == nil {
		return errNotRun
	}
	r, err := e.elect(ctx, "a")
	if err != nil {
		return err
	}
	e.Delete(e.t)
	return broken(within(e.RetryPeriod+e.RenewDeadline+slow, r.stopped, "the end of the work"))
}
