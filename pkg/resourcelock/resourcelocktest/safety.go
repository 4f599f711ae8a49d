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

// safety is that there are no two leaders, whatever happens to requests.
func safety() []scenario {
	return []scenario{
		{name: "S1", asks: "nobody takes over a lease that lasts, whatever its elector thinks; later somebody can", run: noTakeoverOfTheLiving},
		{name: "S4", asks: "each term's token is larger than all before, whatever ended them, and renewals keep it", run: tokensIncrease},
		{name: "S5", asks: "the release of a deposed leader leaves its successor alone", run: releaseOfTheDeposed},
		{name: "S6", asks: "a release by who does not lead is no error, and changes nothing", run: releaseWithoutLeading},
		{name: "S11", asks: "two processes with one identity never both lead", run: twins},
		{name: "S12", asks: "an acquisition whose reply was lost becomes leadership, of one term", run: lostReplyOfAcquisition},
		{name: "S13", asks: "a renewal whose reply was lost changes nothing", run: lostReplyOfRenewal},
	}
}

func noTakeoverOfTheLiving(ctx context.Context, e *election) error {
	a, b := e.lock("a"), e.lock("b")
	if err := e.lead(ctx, a); err != nil {
		return err
	}
	if _, _, err := b.Get(ctx); err != nil {
		return err
	}
	if err := b.Update(ctx, e.record("b")); err == nil {
		return breach("it was taken over")
	}
	renewed := time.Now()
	if err := a.Update(ctx, e.record("a")); err != nil {
		return breach("the leader was disturbed: %w", err)
	}
	if err := e.leadEventually(ctx, e.LeaseDuration+2*slow, b, "a take-over after the lease"); err != nil {
		return broken(err)
	}
	const tick = 50 * time.Millisecond // clocks count in ticks, and not all at the same rate
	if after := time.Since(renewed); after < e.LeaseDuration-tick {
		return breach("it was taken over %s after a renewal", after)
	}
	return nil
}

func tokensIncrease(ctx context.Context, e *election) error {
	last := int64(0)
	var c Candidate
	for i := range 100 {
		if i%25 == 0 { // as after a restart
			c = e.candidate("a")
		}
		if c.Token == nil {
			return errNotRun
		}
		token, err := e.shortTerm(ctx, c, last)
		if err != nil {
			return err
		}
		if last = token; i%10 == 9 && e.Delete != nil {
			e.Delete(e.t)
		}
	}
	if err := e.lead(ctx, c.Lock); err != nil {
		return err
	}
	last, _ = c.Token()
	next := e.candidate("b")
	if err := e.leadEventually(ctx, e.LeaseDuration+preparation, next.Lock, "a take-over after the lease"); err != nil {
		return err
	}
	if token, ok := next.Token(); !ok || token <= last {
		return breach("after the end of a lease token %d, %t after %d", token, ok, last)
	}
	return nil
}

// shortTerm is one whose token has to be larger than the last, and to stay what it is.
func (e *election) shortTerm(ctx context.Context, c Candidate, last int64) (token int64, err error) {
	if err := e.lead(ctx, c.Lock); err != nil {
		return 0, err
	}
	token, ok := c.Token()
	if !ok || token <= last {
		return 0, breach("token %d, %t after %d", token, ok, last)
	}
	if err := c.Lock.Update(ctx, e.record("a")); err != nil {
		return 0, err
	}
	if now, ok := c.Token(); !ok || now != token {
		return 0, breach("a renewal made token %d of %d, %t", now, token, ok)
	}
	return token, c.Lock.Update(ctx, released())
}

func releaseOfTheDeposed(ctx context.Context, e *election) error {
	a, b, err := e.depose(ctx)
	if err != nil {
		return err
	}
	// As an elector does that was cancelled before it knew.
	_, _, _ = a.Lock.Get(ctx)
	_ = a.Lock.Update(ctx, released())
	if who, err := holder(ctx, e.lock("c")); err != nil || who != "b" {
		return breach("then %q leads, %v", who, err)
	}
	if err := b.Lock.Update(ctx, e.record("b")); err != nil {
		return breach("then the successor cannot renew: %w", err)
	}
	return nil
}

func releaseWithoutLeading(ctx context.Context, e *election) error {
	a, b := e.lock("a"), e.lock("b")
	if err := e.lead(ctx, a); err != nil {
		return err
	}
	if _, _, err := b.Get(ctx); err != nil {
		return err
	}
	if err := b.Update(ctx, released()); err != nil {
		return broken(err)
	}
	if who, err := holder(ctx, e.lock("c")); err != nil || who != "a" {
		return breach("then %q leads, %v", who, err)
	}
	return nil
}

// twins watches two of one name for two leases: in one lease the second may find the first to be itself, or to be dead.
func twins(ctx context.Context, e *election) error {
	first, second, err := e.pair(ctx, "twin", "twin")
	if err != nil {
		return err
	}
	if within(2*e.LeaseDuration, second.elected, "an election of the second") == nil {
		return first.stoppedBefore(second)
	}
	return nil
}

func lostReplyOfAcquisition(ctx context.Context, e *election) error {
	c := e.candidate("a")
	if c.Connection == nil {
		return errNotRun
	}
	predecessor, follower := e.lock("before"), e.lock("b")
	if err := e.lead(ctx, predecessor); err != nil {
		return err
	}
	if err := predecessor.Update(ctx, released()); err != nil {
		return err
	}
	before, _, err := follower.Get(ctx)
	if err != nil {
		return err
	}
	lost := c.Connection.LoseReply()
	r, err := e.startOn(ctx, c)
	if err != nil {
		return err
	}
	if err := within(preparation, lost, "the loss of a reply"); err != nil {
		return err
	}
	if err := within(e.LeaseDuration, r.elected, "leadership"); err != nil {
		return broken(err)
	}
	after, _, err := follower.Get(ctx)
	if err != nil || after.HolderIdentity != "a" || after.LeaderTransitions != before.LeaderTransitions+1 {
		return breach("the record was %+v, and is %+v, %v", before, after, err)
	}
	return nil
}

func lostReplyOfRenewal(ctx context.Context, e *election) error {
	r, err := e.elect(ctx, "a")
	if err != nil {
		return err
	}
	if r.Connection == nil {
		return errNotRun
	}
	before, token, err := r.term(ctx, e.lock("b"))
	if err != nil {
		return err
	}
	if err := within(preparation, r.Connection.LoseReply(), "the loss of a reply"); err != nil {
		return err
	}
	if err := r.calledAgain(ctx, 3); err != nil {
		return broken(err)
	}
	after, now, err := r.term(ctx, e.lock("c"))
	if err != nil || isClosed(r.stopped) || after.HolderIdentity != "a" || after.LeaderTransitions != before.LeaderTransitions || now != token {
		return breach("token %d became %d, the record is %+v, %v, and the work has stopped: %t", token, now, after, err, isClosed(r.stopped))
	}
	return nil
}
