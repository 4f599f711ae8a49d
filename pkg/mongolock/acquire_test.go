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

func TestAcquireWhoseReplyWasLost(t *testing.T) {
	for name, h := range map[string]hook{
		"hanging": loseReply,
		"broken":  breakReply,
		"twice": func(ctx context.Context, call fakeCall, apply func()) error {
			if call.number <= 2 {
				return loseReply(ctx, call, apply)
			}
			apply()
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newFakeStore()
				if name == "twice" {
					s.intercept(on("acquire", h))
				} else {
					s.intercept(once("acquire", h))
				}
				c := fakeClient(t, s)
				start := time.Now()
				lease := mustLock(t, c, "x", WithAutoRenew(false)) // or the first renewal may be due already
				if doc := s.stored("x"); doc.State.Grants != 1 || doc.State.Fence != lease.Token() || doc.State.Seq != 1 {
					t.Errorf("token %d, stored %+v: want one grant", lease.Token(), doc)
				}
				if len(s.sent("acquire")) < 2 {
					t.Error("acquired by the first send: the test does not test")
				}
				if got := lease.Deadline().Sub(start); got != defaultLifetime {
					t.Errorf("held until %s after the first send, want %s", got, defaultLifetime)
				}
			})
		})
	}
}

// TryLock gives up after half of the lease. What may have been acquired is released.
func TestAcquireWithoutAnswer(t *testing.T) {
	cases := map[string]struct {
		h    hook
		want error
		not  error
	}{
		"lost requests": {h: hang, want: ErrOutcomeUnknown},
		"lost replies":  {h: loseReply, want: ErrOutcomeUnknown},
		"broken":        {h: breakReply, want: ErrOutcomeUnknown},
		"no server":     {h: unreachable, want: ErrUnreachable, not: ErrOutcomeUnknown},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newFakeStore()
				s.intercept(on("acquire", tc.h))
				c := fakeClient(t, s)
				start := time.Now()
				_, err := c.TryLock(t.Context(), "x")
				if !errors.Is(err, tc.want) || !errors.Is(err, ErrUnreachable) || tc.not != nil && errors.Is(err, tc.not) {
					t.Errorf("TryLock: %v, want %v", err, tc.want)
				}
				if took := time.Since(start); took > DefaultLease/2+DefaultLease/50 || took < DefaultLease/4 {
					t.Errorf("TryLock took %s, want about half of the lease", took)
				}
				time.Sleep(2 * time.Second)
				if s.held("x") {
					t.Error("what TryLock did not return is still held")
				}
			})
		})
	}
}

// A cancelled acquire returns at once and leaves nothing, whatever became of the request.
func TestCancelledAcquire(t *testing.T) {
	for name, h := range map[string]hook{
		"request lost": hang,
		"reply lost":   loseReply,
		"request late": func(ctx context.Context, call fakeCall, apply func()) error {
			go func() {
				<-ctx.Done()
				time.Sleep(200 * time.Millisecond)
				apply()
			}()
			return hang(ctx, call, apply)
		},
		"release fails at first": loseReply,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newFakeStore()
				acquire, failing := once("acquire", h), name == "release fails at first"
				s.intercept(func(ctx context.Context, call fakeCall, apply func()) error {
					if call.op == "release" && failing && call.number <= 2 {
						return unreachable(ctx, call, apply)
					}
					return acquire(ctx, call, apply)
				})
				c := fakeClient(t, s)
				ctx, cancel := context.WithCancel(t.Context())
				time.AfterFunc(time.Second, cancel)
				start := time.Now()
				_, err := c.TryLock(ctx, "x")
				if !errors.Is(err, context.Canceled) || time.Since(start) != time.Second {
					t.Errorf("TryLock: %v after %s, want context.Canceled after 1s", err, time.Since(start))
				}
				time.Sleep(3 * time.Second)
				if s.held("x") {
					t.Error("the cancelled acquire is still held")
				}
				if len(s.sent("release")) == 0 {
					t.Error("nothing was released: the test does not test")
				}
				mustUnlock(t, mustLock(t, c, "x"))
			})
		})
	}
}

// A request that arrives late, after another one was answered "held", must not leave a grant that nobody knows of.
func TestRefusedAcquireAbandonsAnEarlierSend(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFakeStore()
		first := mustLock(t, fakeClient(t, s), "x")
		c := fakeClient(t, s)
		s.intercept(once("acquire", func(ctx context.Context, call fakeCall, apply func()) error {
			time.AfterFunc(DefaultLease/6+300*time.Millisecond, apply)
			return hang(ctx, call, apply)
		}))
		start := time.Now()
		if _, err := c.TryLock(t.Context(), "x"); !errors.Is(err, ErrHeld) {
			t.Fatalf("TryLock: %v, want ErrHeld", err)
		}
		mustUnlock(t, first)
		until(start, 6*time.Second)
		if doc := s.stored("x"); doc.State.Grants != 2 {
			t.Fatalf("stored %+v: the late request was not carried out: the test does not test", doc)
		}
		if s.held("x") {
			t.Error("the lock is held by nobody: TryLock returned ErrHeld, and its earlier send was granted later")
		}
	})
}

// The commands are bounded by half of the lease and the margin is less than that, so only a store that ignores its context, or a
// suspended machine, brings a grant so late.
func TestGrantAfterItsDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFakeStore()
		s.intercept(once("acquire", func(_ context.Context, _ fakeCall, apply func()) error {
			apply()
			time.Sleep(defaultLifetime)
			return nil
		}))
		c := fakeClient(t, s)
		lease, err := c.TryLock(t.Context(), "x")
		if lease != nil || !errors.Is(err, ErrOutcomeUnknown) {
			t.Fatalf("TryLock: %v, %v, want ErrOutcomeUnknown", lease, err)
		}
		synctest.Wait()
		if doc := s.stored("x"); s.held("x") || doc.State.Grants != 1 || len(doc.State.Events) != 2 {
			t.Errorf("stored %+v, want a grant that was released", doc)
		}
	})
}

// A lease that ends while it is being registered is forgotten all the same.
func TestLeaseThatEndsBeforeItIsRemembered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := fakeClient(t, newFakeStore())
		lease, err := c.newLease(holder{Lease: c.settings.lock.lease.Milliseconds()}, c.settings.lock.lease, attempt{ref: grantRef{lock: "x", holderID: "h"}, settings: c.settings.lock, sent: c.now()})
		if err != nil {
			t.Fatal(err)
		}
		<-lease.Done()
		synctest.Wait()
		c.remember(lease)
		synctest.Wait()
		if c.holdsAny() {
			t.Error("the client keeps a lease that has ended, for ever")
		}
	})
}
