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
)

func TestWithoutAutoRenew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFakeStore()
		c := fakeClient(t, s)
		start := time.Now()
		lease := mustLock(t, c, "x", WithAutoRenew(false))
		until(start, 10*time.Second)
		if err := lease.Renew(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := time.Until(lease.Deadline()); got != defaultLifetime {
			t.Errorf("%s left after Renew, want %s", got, defaultLifetime)
		}
		checkDoneAt(t, lease, start, 10*time.Second+defaultLifetime)
		checkLost(t, lease)
		if got := len(s.sent("renew")); got != 1 {
			t.Errorf("%d renewals, want the one that was asked for", got)
		}
	})
}

func TestRenewTellsWhatHappened(t *testing.T) {
	cases := map[string]struct {
		renew hook
		ctx   time.Duration // timeout, if any
		lost  bool          // the document is gone
		want  []error
		after time.Duration
	}{
		"lost at the server": {renew: func(_ context.Context, _ fakeCall, apply func()) error { apply(); return nil },
			lost: true, want: []error{ErrLeaseLost}},
		"refused":      {renew: func(context.Context, fakeCall, func()) error { return errUnauthorized("renew") }, want: []error{ErrUnauthorized}},
		"ctx ends":     {renew: hang, ctx: time.Second, want: []error{context.DeadlineExceeded, ErrUnreachable}, after: time.Second},
		"lost reply":   {renew: func(_ context.Context, call fakeCall, apply func()) error { return lostFirst(call, apply) }, want: nil},
		"hanging":      {renew: hang, want: []error{ErrLeaseLost}, after: defaultLifetime},
		"unstoppable":  {renew: func(context.Context, fakeCall, func()) error { time.Sleep(time.Hour); return nil }, want: []error{ErrLeaseLost}},
		"no server":    {renew: unreachable, want: []error{ErrLeaseLost}, after: defaultLifetime},
		"broken reply": {renew: breakReply, want: []error{ErrLeaseLost}, after: defaultLifetime},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newFakeStore()
				start := time.Now()
				lease := mustLock(t, fakeClient(t, s), "x", WithAutoRenew(false))
				if tc.lost {
					s.remove("x")
				}
				s.intercept(on("renew", tc.renew))
				ctx := t.Context()
				if tc.ctx > 0 {
					timed, cancel := context.WithTimeout(ctx, tc.ctx)
					defer cancel()
					ctx = timed
				}
				err := lease.Renew(ctx)
				if tc.want == nil && err != nil {
					t.Errorf("Renew: %v, want nil", err)
				}
				for _, want := range tc.want {
					if !errors.Is(err, want) {
						t.Errorf("Renew: %v, want %v", err, want)
					}
				}
				if got := time.Since(start); tc.after > 0 && got != tc.after {
					t.Errorf("Renew returned after %s, want %s", got, tc.after)
				}
			})
		})
	}
}

// lostFirst carries out every command and breaks the first reply.
func lostFirst(call fakeCall, apply func()) error {
	apply()
	if call.number == 1 {
		return errBroken(call.op)
	}
	return nil
}

// Renew returns what became of the lease, not the cancellation by which the lease's end stops the waiting.
func TestRenewTellsOfReleaseMeanwhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFakeStore()
		lease := mustLock(t, fakeClient(t, s), "x", WithAutoRenew(false))
		s.intercept(on("renew", unreachable))
		result := make(chan error)
		go func() { result <- lease.Renew(t.Context()) }()
		synctest.Wait() // in a pause between two tries
		mustUnlock(t, lease)
		if err := <-result; !errors.Is(err, ErrNotHeld) || errors.Is(err, context.Canceled) {
			t.Errorf("Renew: %v, want ErrNotHeld", err)
		}
	})
}

func TestLeaseContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := fakeClient(t, newFakeStore())
		lease := mustLock(t, c, "x")
		parent, cancel := context.WithCancel(t.Context())
		ended, released := lease.Context(parent), lease.Context(t.Context())
		cancel()
		synctest.Wait()
		if !errors.Is(context.Cause(ended), context.Canceled) || released.Err() != nil {
			t.Errorf("after the parent's end: %v and %v", context.Cause(ended), released.Err())
		}
		checkHeld(t, lease)
		for range 1000 {
			if err := lease.Renew(t.Context()); err != nil {
				t.Fatal(err)
			}
			_, stop := lease.scope(t.Context())
			stop()
		}
		synctest.Wait()
		if n := len(lease.cancels); n != 1 {
			t.Errorf("%d contexts are remembered after 2,000 that ended, want the open one", n)
		}
		mustUnlock(t, lease)
		late := lease.Context(t.Context())
		for _, ctx := range []context.Context{released, late} {
			if ctx.Err() == nil || !errors.Is(context.Cause(ctx), ErrNotHeld) {
				t.Errorf("after the release: %v with cause %v, want ErrNotHeld", ctx.Err(), context.Cause(ctx))
			}
		}
	})
}
