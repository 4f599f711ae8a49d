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

// Lock does not give up because of a grant that came too late.
func TestLockAfterALateGrant(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFakeStore()
		s.intercept(once("acquire", func(_ context.Context, _ fakeCall, apply func()) error {
			apply()
			time.Sleep(defaultLifetime)
			return nil
		}))
		lease, err := fakeClient(t, s).Lock(t.Context(), "x")
		if err != nil {
			t.Fatal(err)
		}
		if doc := s.stored("x"); doc.State.Grants != 2 || doc.State.Fence != lease.Token() {
			t.Errorf("token %d, stored %+v: want the second grant", lease.Token(), doc)
		}
	})
}

func TestLockWaitsForTheHoldersEnd(t *testing.T) {
	cases := map[string]struct {
		renewed     bool          // the holder renews
		releaseAt   time.Duration // if it does not just expire
		retryPeriod time.Duration
		from, to    time.Duration
	}{
		"lease ends":    {retryPeriod: time.Hour, from: DefaultLease, to: DefaultLease + 30*time.Millisecond},
		"released":      {renewed: true, releaseAt: 47 * time.Second, retryPeriod: 5 * time.Second, from: 47 * time.Second, to: 52 * time.Second},
		"short retries": {renewed: true, releaseAt: 47 * time.Second, retryPeriod: minRetryPeriod, from: 47 * time.Second, to: 47*time.Second + minRetryPeriod},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newFakeStore()
				start := time.Now()
				held := mustLock(t, fakeClient(t, s), "x", WithAutoRenew(tc.renewed))
				if tc.releaseAt > 0 {
					time.AfterFunc(tc.releaseAt, func() { mustUnlock(t, held) })
				}
				lease, err := fakeClient(t, s).Lock(t.Context(), "x", WithRetryPeriod(tc.retryPeriod))
				if err != nil {
					t.Fatal(err)
				}
				if took := time.Since(start); took < tc.from || took > tc.to {
					t.Errorf("acquired after %s, want %s to %s", took, tc.from, tc.to)
				}
				if lease.Token() <= held.Token() {
					t.Errorf("token %d after %d", lease.Token(), held.Token())
				}
				tries := s.sent("acquire")[1:]
				for i := range tries[1:] {
					if gap := tries[i+1].at.Sub(tries[i].at); gap > tc.retryPeriod || gap < min(tc.retryPeriod/3, 10*time.Millisecond) {
						t.Errorf("%s between two tries with a retry period of %s", gap, tc.retryPeriod)
					}
				}
			})
		})
	}
}

// However long the retry period, waiting does not become a busy loop.
func TestLockWithTheLongestRetryPeriod(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFakeStore()
		mustLock(t, fakeClient(t, s), "x")
		c := fakeClient(t, s)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
		defer cancel()
		const longest = time.Duration(1<<63 - 1)
		if _, err := c.Lock(ctx, "x", WithRetryPeriod(longest)); errors.Is(err, ErrInvalid) {
			return // refused, which is as good
		}
		tries := s.sent("acquire")[1:]
		for i := range tries[1:] {
			if gap := tries[i+1].at.Sub(tries[i].at); gap < time.Millisecond {
				t.Fatalf("%s between two tries with a retry period of %s", gap, longest)
			}
		}
	})
}

func TestLockEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFakeStore()
		mustLock(t, fakeClient(t, s), "x", WithOwner("holder"))
		c := fakeClient(t, s)
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		start := time.Now()
		_, err := c.Lock(ctx, "x")
		var held *HeldError
		if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, ErrHeld) || !errors.As(err, &held) || held.Owner != "holder" {
			t.Errorf("Lock: %v, want DeadlineExceeded and a HeldError", err)
		}
		if took := time.Since(start); took != 100*time.Millisecond {
			t.Errorf("Lock took %s, want 100ms", took)
		}
		cancelled, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := c.Lock(cancelled, "y"); !errors.Is(err, context.Canceled) {
			t.Errorf("Lock: %v, want context.Canceled", err)
		}
	})
}

func TestLockOutlivesAnOutage(t *testing.T) {
	for name, failure := range map[string]hook{"no server": unreachable, "hanging": hang, "broken": breakReply} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newFakeStore()
				s.intercept(failure)
				c := fakeClient(t, s)
				const outage = 2 * time.Minute
				time.AfterFunc(outage, func() { s.intercept(nil) })
				start := time.Now()
				lease, err := c.Lock(t.Context(), "x")
				if err != nil {
					t.Fatal(err)
				}
				// An own abandoned grant may have to be released first.
				if took := time.Since(start); took < outage-time.Second || took > outage+DefaultLease {
					t.Errorf("acquired after %s of outage: took %s", outage, took)
				}
				mustUnlock(t, lease)
			})
		})
	}
}

func TestLockReturnsWhatAnotherTryWouldNotMend(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFakeStore()
		c := fakeClient(t, s)
		s.put(document{ID: "foreign", foreign: foreignDocument("foreign")})
		if _, err := c.Lock(t.Context(), "foreign"); !errors.Is(err, ErrForeignDocument) {
			t.Errorf("Lock: %v, want ErrForeignDocument", err)
		}
		s.intercept(on("acquire", func(context.Context, fakeCall, func()) error { return errUnauthorized("acquire") }))
		if _, err := c.Lock(t.Context(), "x"); !errors.Is(err, ErrUnauthorized) || errors.Is(err, ErrOutcomeUnknown) {
			t.Errorf("Lock: %v, want ErrUnauthorized", err)
		}
		s.intercept(on("acquire", func(ctx context.Context, call fakeCall, apply func()) error {
			if call.number%2 == 1 {
				return breakReply(ctx, call, apply)
			}
			return errUnauthorized("acquire")
		}))
		if _, err := c.TryLock(t.Context(), "x"); !errors.Is(err, ErrUnauthorized) || !errors.Is(err, ErrOutcomeUnknown) {
			t.Errorf("TryLock refused after a lost reply: %v, want ErrOutcomeUnknown and ErrUnauthorized", err)
		}
	})
}
