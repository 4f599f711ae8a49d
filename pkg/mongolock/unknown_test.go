/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package mongolock

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"go.mongodb.org/mongo-driver/v2/mongo"
)

// An error that does not match ErrOutcomeUnknown says that nothing was changed, whoever's time was over. Here each call's own time ends
// after a minute.
func TestUnknownOutcomes(t *testing.T) {
	first := func(first, next hook) hook {
		return func(ctx context.Context, call fakeCall, apply func()) error {
			if call.number == 1 {
				return first(ctx, call, apply)
			}
			return next(ctx, call, apply)
		}
	}
	works := func(_ context.Context, _ fakeCall, apply func()) error { apply(); return nil }
	type calls map[string]func(ctx context.Context, c *Client, held *Lease) error
	administer := calls{
		"evict": func(ctx context.Context, c *Client, held *Lease) error {
			return c.Evict(ctx, "held", held.Token(), "test")
		},
		"policy": func(ctx context.Context, c *Client, _ *Lease) error {
			return c.SetPolicy(ctx, "held", Policy{Capacity: 2})
		},
	}
	stranger := calls{"evict": func(ctx context.Context, c *Client, held *Lease) error {
		return c.Evict(ctx, "held", held.Token()-1, "test")
	}}
	try := calls{"acquire": func(ctx context.Context, c *Client, _ *Lease) error {
		_, err := c.TryLock(ctx, "x", WithLease(time.Hour))
		return err
	}}
	barge := calls{"acquire": func(ctx context.Context, c *Client, _ *Lease) error {
		_, err := c.Lock(ctx, "held", WithoutQueue())
		return err
	}}
	wait := calls{"queue": func(ctx context.Context, c *Client, _ *Lease) error {
		_, err := c.Lock(ctx, "held")
		return err
	}}
	ends := []error{ErrUnreachable, context.DeadlineExceeded}
	for name, tc := range map[string]struct {
		calls   calls
		hook    hook
		unknown bool
		want    []error
	}{
		"administered, both replies lost":        {administer, breakReply, true, []error{ErrUnreachable}},
		"administered, a reply lost, then down":  {administer, first(breakReply, unreachable), true, []error{ErrUnreachable}},
		"administered, down":                     {administer, unreachable, false, []error{ErrUnreachable}},
		"administered, no answer for too long":   {administer, loseReply, true, []error{ErrUnreachable}},
		"nobody to evict, a reply lost":          {stranger, first(breakReply, works), false, []error{ErrNotHeld}},
		"tried, replies lost":                    {try, first(unreachable, loseReply), true, []error{ErrUnreachable}},
		"waited beside the queue, replies lost":  {barge, first(unreachable, loseReply), true, ends},
		"waited beside the queue, down":          {barge, unreachable, false, ends},
		"waited, replies lost":                   {wait, first(works, loseReply), true, ends},
		"waited, a reply lost, down ever since":  {wait, first(breakReply, unreachable), true, ends},
		"waited, a reply lost, answered since":   {wait, first(breakReply, works), false, []error{ErrHeld, context.DeadlineExceeded}},
		"waited, a send without an answer in it": {wait, first(breakReply, hang), true, ends},
		"waited, down":                           {wait, unreachable, false, ends},
	} {
		for op, call := range tc.calls {
			t.Run(name+": "+op, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					s := newFakeStore()
					c, holder := fakeClient(t, s), fakeClient(t, s)
					held := mustLock(t, holder, "held")
					time.Sleep(time.Second) // the client's clock begins at 0, which means never
					sends := 0
					s.intercept(on(op, func(ctx context.Context, call fakeCall, apply func()) error {
						sends++
						call.number = sends
						return tc.hook(ctx, call, apply)
					}))
					ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
					defer cancel()
					err := call(ctx, c, held)
					if errors.Is(err, ErrOutcomeUnknown) != tc.unknown {
						t.Errorf("%v: matches ErrOutcomeUnknown %t, want %t", err, !tc.unknown, tc.unknown)
					}
					for _, want := range tc.want {
						if !errors.Is(err, want) {
							t.Errorf("%v, want %v", err, want)
						}
					}
					if errors.Is(err, context.DeadlineExceeded) != (ctx.Err() != nil) {
						t.Errorf("%v after %v: it does not tell whose deadline ended", err, ctx.Err())
					}
				})
			})
		}
	}
}

// A try whose caller's time ends first says what it knows, too.
func TestTryLockUntilADeadline(t *testing.T) {
	for name, h := range map[string]hook{"reply lost": loseReply, "down": unreachable} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newFakeStore()
				c := fakeClient(t, s)
				s.intercept(on("acquire", h))
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				_, err := c.TryLock(ctx, "x")
				if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, ErrUnreachable) ||
					errors.Is(err, ErrOutcomeUnknown) != (s.stored("x").State.Grants > 0) {
					t.Errorf("TryLock: %v, with %d grants", err, s.stored("x").State.Grants)
				}
			})
		})
	}
}

// lateContext is a context whose deadline is over and whose timer has not run yet.
type lateContext struct{ context.Context }

func (lateContext) Deadline() (time.Time, bool) { return time.Now().Add(-time.Millisecond), true }

func TestDeadlineIsNoticedBeforeItsTimer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFakeStore()
		c := fakeClient(t, s)
		s.intercept(breakReply)
		_, err := c.Get(lateContext{t.Context()}, "x")
		for op, err := range map[string]error{"Get": err, "SetPolicy": c.SetPolicy(lateContext{t.Context()}, "x", Policy{})} {
			if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, ErrUnreachable) {
				t.Errorf("%s: %v, want DeadlineExceeded and ErrUnreachable", op, err)
			}
		}
		if sends := len(s.sent("")); sends != 2 {
			t.Errorf("%d commands, want one each: there was no time for another", sends)
		}
	})
}

// The end of a context of this package's own is not taken for the end of the caller's; everything else of the driver's can be had.
func TestCausesOfFailedCommands(t *testing.T) {
	cause := errors.Join(mongo.CommandError{Code: 189, Name: "PrimarySteppedDown"}, mongo.ErrClientDisconnected)
	err := unknown(&storeError{operation: "test", kind: ErrUnreachable, cause: cause})
	var command mongo.CommandError
	if !errors.As(err, &command) || command.Code != 189 || !errors.Is(err, mongo.ErrClientDisconnected) || !errors.Is(err, ErrUnreachable) {
		t.Errorf("%v hides what the driver said", err)
	}
	for _, end := range []error{context.DeadlineExceeded, context.Canceled} {
		if errors.Is(classify("test", end), end) {
			t.Errorf("a failed command matches %v", end)
		}
	}
}
