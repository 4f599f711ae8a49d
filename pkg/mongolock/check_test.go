/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package mongolock

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestDeferredCheckIsMadeByOperations(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFakeStore()
		c := fakeClient(t, s)
		failure := error(&storeError{operation: "check", kind: ErrUnsupportedServer, cause: errors.New("no")})
		checks := 0
		c.check = func(context.Context) error { checks++; return failure }
		watcher, err := c.Watch(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			_, tryErr := c.TryLock(t.Context(), "x")
			_, lockErr := c.Lock(t.Context(), "x")
			_, getErr := c.Get(t.Context(), "x")
			synctest.Wait()
			for name, err := range map[string]error{"TryLock": tryErr, "Lock": lockErr, "Get": getErr, "Watcher.Err": watcher.Err()} {
				if !errors.Is(err, ErrUnsupportedServer) {
					t.Errorf("%s: %v, want the error of the check", name, err)
				}
			}
		}
		if len(s.sent("")) != 0 {
			t.Errorf("%d commands to a server that was not tested", len(s.sent("")))
		}
		failure = nil
		mustUnlock(t, mustLock(t, c, "x"))
		passed := checks
		mustUnlock(t, mustLock(t, c, "x"))
		time.Sleep(maxReadPause + time.Second) // the feed looks less often while it fails
		if checks != passed || watcher.Err() != nil {
			t.Errorf("%d checks after one passed, Watcher.Err %v", checks-passed, watcher.Err())
		}
	})
}

// hangingCheck is a check of a server that does not answer.
func hangingCheck(ctx context.Context) error {
	<-ctx.Done()
	return errBroken("check")
}

// A wait for the check ends like any other: with the context's error, or with ErrClosed.
func TestDeferredCheckThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := fakeClient(t, newFakeStore())
		c.check = hangingCheck
		start := time.Now()
		if _, err := c.TryLock(t.Context(), "x"); !errors.Is(err, ErrUnreachable) || time.Since(start) != checkTimeout {
			t.Errorf("TryLock: %v after %s, want ErrUnreachable after %s", err, time.Since(start), checkTimeout)
		}
		for name, operation := range map[string]func(context.Context) error{
			"TryLock": func(ctx context.Context) error { _, err := c.TryLock(ctx, "x"); return err },
			"Lock":    func(ctx context.Context) error { _, err := c.Lock(ctx, "x"); return err },
			"Get":     func(ctx context.Context) error { _, err := c.Get(ctx, "x"); return err },
		} {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			if err := operation(ctx); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%s: %v, want DeadlineExceeded", name, err)
			}
			cancel()
		}
		errs := make(chan error)
		for range 2 { // one checks, the other waits for that
			go func() { _, err := c.Lock(t.Context(), "x"); errs <- err }()
		}
		synctest.Wait()
		go func() { _ = c.Close(t.Context()) }()
		for range 2 {
			if err := <-errs; !errors.Is(err, ErrClosed) {
				t.Errorf("Lock while the client was closed: %v, want ErrClosed", err)
			}
		}
	})
}

// All who wait for the test of the server share one: with the server down, the last does not wait for twenty tests.
func TestDeferredCheckIsShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := fakeClient(t, newFakeStore())
		checks := 0
		c.check = func(ctx context.Context) error {
			checks++
			return hangingCheck(ctx)
		}
		start := time.Now()
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() {
				if _, err := c.TryLock(t.Context(), "x"); !errors.Is(err, ErrUnreachable) {
					t.Errorf("TryLock: %v, want ErrUnreachable", err)
				}
			})
		}
		wg.Wait()
		if took := time.Since(start); checks != 1 || took > checkTimeout {
			t.Errorf("%d tests in %s, want one in %s", checks, took, checkTimeout)
		}
	})
}
