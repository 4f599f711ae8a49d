/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package mongolock

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestCloseReleases(t *testing.T) {
	for _, keep := range []bool{false, true} {
		t.Run(fmt.Sprintf("keep %t", keep), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newFakeStore()
				var opts []Option
				if keep {
					opts = append(opts, WithoutRelease())
				}
				c := fakeClient(t, s, opts...)
				leases := make([]*Lease, 100)
				for i := range leases {
					leases[i] = mustLock(t, c, fmt.Sprint(i))
				}
				mustUnlock(t, leases[0])
				if err := c.Close(t.Context()); err != nil {
					t.Errorf("Close: %v", err)
				}
				for i, lease := range leases[1:] {
					want := ErrNotHeld
					if keep {
						want = ErrLeaseLost
					}
					if err := lease.Err(); !errors.Is(err, want) {
						t.Errorf("lease %d after Close: %v, want %v", i+1, err, want)
					}
					if held := s.held(lease.ID()); held != keep {
						t.Errorf("lock %s held after Close: %t", lease.ID(), held)
					}
				}
				time.Sleep(time.Hour)
				if n := len(s.sent("renew")); n != 0 {
					t.Errorf("%d renewals after Close", n)
				}
			})
		})
	}
}

// Close releases many at a time, but does not need a connection for each.
func TestCloseReleasesInParallel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFakeStore()
		c := fakeClient(t, s)
		lockMany(t, c, 160)
		var running, most atomic.Int64
		s.intercept(on("release", func(_ context.Context, _ fakeCall, apply func()) error {
			most.Store(max(most.Load(), running.Add(1)))
			time.Sleep(100 * time.Millisecond)
			running.Add(-1)
			apply()
			return nil
		}))
		start := time.Now()
		if err := c.Close(t.Context()); err != nil {
			t.Errorf("Close: %v", err)
		}
		if took := time.Since(start); took > 2*time.Second || most.Load() > 50 {
			t.Errorf("Close took %s with up to %d releases at a time", took, most.Load())
		}
	})
}

func TestCloseEndsWaitersAndOperations(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFakeStore()
		mustLock(t, fakeClient(t, s), "held")
		c := fakeClient(t, s)
		s.intercept(func(ctx context.Context, call fakeCall, apply func()) error {
			if len(call.locks) == 1 && call.locks[0] == "hanging" {
				return hang(ctx, call, apply)
			}
			apply()
			return nil
		})
		watcher, err := c.Watch(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		operations := map[string]func() error{
			"Lock, waiting":    func() error { _, err := c.Lock(t.Context(), "held"); return err },
			"Lock, hanging":    func() error { _, err := c.Lock(t.Context(), "hanging"); return err },
			"TryLock, hanging": func() error { _, err := c.TryLock(t.Context(), "hanging"); return err },
			"Do, waiting":      func() error { return c.Do(t.Context(), "held", func(context.Context, *Lease) error { return nil }) },
			"Get, hanging":     func() error { _, err := c.Get(t.Context(), "hanging"); return err },
		}
		type result struct {
			name string
			err  error
		}
		results := make(chan result, len(operations))
		for name, operation := range operations {
			go func() { results <- result{name, operation()} }()
		}
		synctest.Wait()
		start := time.Now()
		closed := make(chan error, 1)
		go func() { closed <- c.Close(t.Context()) }()
		for range operations {
			if r := <-results; !errors.Is(r.err, ErrClosed) {
				t.Errorf("%s: %v, want ErrClosed", r.name, r.err)
			}
		}
		if took := time.Since(start); took != 0 {
			t.Errorf("the last operation ended %s after Close", took)
		}
		for range watcher.Changes() { // until it is closed
		}
		if err := <-closed; err != nil {
			t.Errorf("Close: %v", err)
		}
		if took := time.Since(start); took > 2*cleanupTimeout {
			t.Errorf("Close took %s", took)
		}
	})
}

func TestAfterClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFakeStore()
		c := fakeClient(t, s)
		if err := c.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		before := len(s.sent(""))
		_, lockErr := c.Lock(t.Context(), "x")
		_, tryErr := c.TryLock(t.Context(), "x")
		_, getErr := c.Get(t.Context(), "x")
		_, watchErr := c.Watch(t.Context())
		var listErr error
		for _, err := range c.List(t.Context()) {
			listErr = err
		}
		doErr := c.Do(t.Context(), "x", func(context.Context, *Lease) error { t.Error("fn ran"); return nil })
		for name, err := range map[string]error{
			"Lock": lockErr, "TryLock": tryErr, "Get": getErr, "Watch": watchErr, "List": listErr, "Do": doErr,
		} {
			if !errors.Is(err, ErrClosed) {
				t.Errorf("%s after Close: %v, want ErrClosed", name, err)
			}
		}
		if err := c.Close(t.Context()); err != nil {
			t.Errorf("second Close: %v", err)
		}
		if after := len(s.sent("")); after != before {
			t.Errorf("%d commands after Close", after-before)
		}
	})
}

// Unlock and Do after Close tell what became of the lease.
func TestUnlockAfterClose(t *testing.T) {
	for name, tc := range map[string]struct {
		opts  []Option
		lives time.Duration
		lost  bool
	}{
		"released by Close":       {},
		"left to expire by Close": {opts: []Option{WithoutRelease()}, lost: true},
		"lost before":             {opts: []Option{WithAutoRenew(false)}, lives: time.Minute, lost: true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := fakeClient(t, newFakeStore(), tc.opts...)
				lease := mustLock(t, c, "x")
				err := c.Do(t.Context(), "y", func(ctx context.Context, _ *Lease) error {
					time.Sleep(tc.lives)
					return c.Close(context.WithoutCancel(ctx))
				})
				for what, err := range map[string]error{"Do": err, "Unlock": lease.Unlock(t.Context()), "Unlock again": lease.Unlock(t.Context())} {
					if !errors.Is(err, ErrClosed) || errors.Is(err, ErrLeaseLost) != tc.lost || errors.Is(err, ErrNotHeld) == tc.lost {
						t.Errorf("%s: %v, want ErrClosed, and that it was lost: %t", what, err, tc.lost)
					}
				}
			})
		})
	}
}

// A grant that arrives while the client closes is released, not returned.
func TestCloseDuringAGrant(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFakeStore()
		c := fakeClient(t, s)
		s.intercept(on("acquire", func(_ context.Context, _ fakeCall, apply func()) error {
			apply()
			time.Sleep(time.Second)
			return nil
		}))
		result := make(chan error, 1)
		go func() { _, err := c.TryLock(t.Context(), "x"); result <- err }()
		synctest.Wait()
		if err := c.Close(t.Context()); err != nil {
			t.Errorf("Close: %v", err)
		}
		if err := <-result; !errors.Is(err, ErrClosed) {
			t.Errorf("TryLock: %v, want ErrClosed", err)
		}
		if doc := s.stored("x"); s.held("x") || doc.State.Grants != 1 {
			t.Errorf("stored %+v, want a grant that was released", doc)
		}
	})
}

// While the store hangs, Close returns when its context ends, however many leases there are to release.
func TestCloseIsBoundedByItsContext(t *testing.T) {
	const bound = time.Second
	timeout := func(parent context.Context) (context.Context, context.CancelFunc) {
		return context.WithTimeout(parent, bound)
	}
	cancel := func(parent context.Context) (context.Context, context.CancelFunc) {
		ctx, cancel := context.WithCancel(parent)
		time.AfterFunc(bound, cancel)
		return ctx, cancel
	}
	cases := map[string]struct {
		leases int
		ctx    func(context.Context) (context.Context, context.CancelFunc)
		want   error
	}{
		"few, deadline":  {leases: 3, ctx: timeout, want: context.DeadlineExceeded},
		"many, deadline": {leases: 100, ctx: timeout, want: context.DeadlineExceeded},
		"few, cancelled": {leases: 3, ctx: cancel, want: context.Canceled},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newFakeStore()
				c := fakeClient(t, s)
				for i := range tc.leases {
					mustLock(t, c, fmt.Sprint(i))
				}
				s.intercept(hang)
				go func() { _, _ = c.Lock(t.Context(), "x") }()
				synctest.Wait()
				ctx, cancel := tc.ctx(t.Context())
				defer cancel()
				start := time.Now()
				err := c.Close(ctx)
				if took := time.Since(start); took > bound {
					t.Errorf("Close took %s, want no more than its context's %s", took, bound)
				}
				if !errors.Is(err, tc.want) {
					t.Errorf("Close: %v, want %v", err, tc.want)
				}
			})
		})
	}
}

func TestCloseTellsOfFailedReleases(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFakeStore()
		c := fakeClient(t, s)
		lease := mustLock(t, c, "x")
		gone := mustLock(t, c, "gone")
		s.remove("gone")
		s.intercept(on("release", func(ctx context.Context, call fakeCall, apply func()) error {
			if call.locks[0] == "x" {
				return errUnauthorized(call.op)
			}
			apply()
			return ctx.Err()
		}))
		if err := c.Close(t.Context()); !errors.Is(err, ErrUnauthorized) || errors.Is(err, ErrNotHeld) {
			t.Errorf("Close: %v, want ErrUnauthorized", err)
		}
		for _, l := range []*Lease{lease, gone} {
			if l.Err() == nil {
				t.Errorf("the lease of %s is still held after Close", l.ID())
			}
		}
	})
}

// What a caller does between two pages of a List is no business of Close.
func TestCloseInsideList(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFakeStore()
		c := fakeClient(t, s)
		mustUnlock(t, mustLock(t, c, "x"))
		for _, err := range c.List(t.Context()) {
			if err != nil {
				t.Error(err)
			}
			if err := c.Close(t.Context()); err != nil {
				t.Errorf("Close: %v", err)
			}
		}
	})
}
