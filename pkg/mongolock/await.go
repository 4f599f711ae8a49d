/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package mongolock

import (
	"context"
	"slices"
	"sync"
	"time"
)

const (
	// minAwait and maxAwait bound the time between two looks of AwaitChange: a fiftieth of the time that it has waited, which adds a hundredth
	// to that, and takes the load off a server on which nothing changes for long. While the doorbell rings it is maxAwait from the beginning,
	// in case that a message is lost, as by a holder that dies just after it has released the lock.
	minAwait = 250 * time.Millisecond
	maxAwait = 2 * time.Second
)

var errSlowLook = &storeError{
	operation: "await a change of a lock", kind: ErrUnreachable, retry: true,
	detail: "a look at it took longer than " + lookTimeout.String() + "; check that MongoDB runs and can be reached",
}

// AwaitChange waits until the lock's holders are others than in state, which came from [Client.Get] or from here: somebody has acquired
// or released it, was evicted, or a lease has ended. Renewals and the queue do not count. It only looks: it takes no place in the queue and
// keeps nobody from acquiring the lock. Where the doorbell rings (see [WithFeed]) it learns of a change at once, and looks about every two
// seconds in case that a message was lost. Elsewhere it looks, four times a second at first, and less often the longer it waits, down to
// about every two seconds. The end of a lease it sees at once in both cases.
//
// It returns the context's error when ctx ends. A look that fails, or takes longer than half a second, ends it with [ErrUnreachable]:
// nothing is known then, and the caller may look by itself or call again. It may also return [ErrInvalid], [ErrClosed],
// [ErrForeignDocument] and [ErrUnauthorized].
func (c *Client) AwaitChange(ctx context.Context, state State) (State, error) {
	if err := validateID(state.ID); err != nil {
		return State{}, err
	}
	ctx, finish, err := c.begin(ctx)
	if err != nil {
		return State{}, err
	}
	defer finish()
	wake, remove := c.awaits.add(state.ID)
	defer remove()
	c.bell.listen() //nolint:contextcheck // the listener serves all who wait, and outlives this call
	defer c.bell.unlisten()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for begin := c.now(); ; {
		now, err := c.lookAt(ctx, state.ID)
		if err != nil || !sameHolders(state, now) {
			return now, err
		}
		timer.Reset(c.nextLook(now, c.now()-begin))
		select {
		case <-wake:
		case <-timer.C:
		case <-ctx.Done():
			return State{}, ended(ctx)
		}
	}
}

func (c *Client) lookAt(ctx context.Context, id string) (State, error) {
	look, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	state, err := c.Get(look, id)
	switch {
	case over(ctx):
		return State{}, ended(ctx)
	case err != nil && over(look):
		return State{}, errSlowLook
	}
	return state, err
}

// nextLook is the time to the next look at a lock that was waited for so long: not after the end of the first lease, as nobody tells of that.
func (c *Client) nextLook(now State, waited time.Duration) time.Duration {
	wait := min(max(waited/50, minAwait), maxAwait)
	if c.bell.rings() {
		wait = maxAwait
	}
	wait = jitter(wait)
	for _, h := range now.Holders {
		wait = min(wait, max(untilEnd(h.ExpiresAt, now.ReadAt), 0)+minLook)
	}
	return wait
}

func sameHolders(a, b State) bool {
	return slices.EqualFunc(a.Holders, b.Holders, func(a, b Holder) bool { return a.Token == b.Token })
}

// awaits are the calls of AwaitChange in progress.
type awaits struct {
	mu    sync.Mutex
	calls map[chan struct{}]string // by what wakes them; the lock's id
}

func newAwaits() *awaits { return &awaits{calls: map[chan struct{}]string{}} }

func (a *awaits) add(lock string) (wake <-chan struct{}, remove func()) {
	call := make(chan struct{}, 1)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.calls[call] = lock
	return call, func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		delete(a.calls, call)
	}
}

// rung tells that these locks were changed, or if there are none, that any may have been.
func (a *awaits) rung(locks []string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for call, lock := range a.calls {
		if len(locks) > 0 && !slices.Contains(locks, lock) {
			continue
		}
		select {
		case call <- struct{}{}:
		default:
		}
	}
}
