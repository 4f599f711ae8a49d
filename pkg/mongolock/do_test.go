/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package mongolock

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
)

func TestDo(t *testing.T) {
	errWork := errors.New("work failed")
	type doFunc = func(context.Context, *Lease) error
	cases := map[string]struct {
		fn   doFunc
		want []error
		not  []error
	}{
		"success": {fn: func(ctx context.Context, _ *Lease) error { return ctx.Err() }},
		"failure": {fn: func(context.Context, *Lease) error { return errWork }, want: []error{errWork}, not: []error{ErrLeaseLost}},
		"loss": {
			fn:   func(ctx context.Context, _ *Lease) error { <-ctx.Done(); return context.Cause(ctx) },
			want: []error{ErrLeaseLost}, not: []error{errWork},
		},
		"loss and failure": {
			fn:   func(ctx context.Context, _ *Lease) error { <-ctx.Done(); return errWork },
			want: []error{ErrLeaseLost, errWork},
		},
		"loss unnoticed": {
			fn:   func(_ context.Context, lease *Lease) error { <-lease.Done(); return nil },
			want: []error{ErrLeaseLost},
		},
		"released by fn": {
			fn:   func(ctx context.Context, lease *Lease) error { return lease.Unlock(ctx) },
			want: []error{ErrNotHeld}, not: []error{ErrLeaseLost},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newFakeStore()
				var ended func() error
				err := fakeClient(t, s).Do(t.Context(), "x", func(ctx context.Context, lease *Lease) error {
					ended = ctx.Err
					if !s.held("x") || lease.ID() != "x" {
						t.Error("fn runs without the lock")
					}
					return tc.fn(ctx, lease)
				}, WithAutoRenew(false))
				for _, want := range tc.want {
					if !errors.Is(err, want) {
						t.Errorf("Do: %v, want %v", err, want)
					}
				}
				if len(tc.want) == 0 && err != nil || slices.ContainsFunc(tc.not, func(not error) bool { return errors.Is(err, not) }) {
					t.Errorf("Do: %v, want not %v", err, tc.not)
				}
				if s.held("x") || ended() == nil {
					t.Errorf("after Do: held %t, context %v", s.held("x"), ended())
				}
			})
		})
	}
}

func TestDoReleasesOnPanic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFakeStore()
		c := fakeClient(t, s)
		func() {
			defer func() {
				if p := recover(); p != "ouch" {
					t.Errorf("recovered %v, want the panic of fn", p)
				}
			}()
			_ = c.Do(t.Context(), "x", func(context.Context, *Lease) error { panic("ouch") })
		}()
		if s.held("x") {
			t.Error("the lock is still held")
		}
	})
}

func TestDoTellsOfTrouble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFakeStore()
		c := fakeClient(t, s)
		s.intercept(on("release", hang))
		err := c.Do(t.Context(), "x", func(context.Context, *Lease) error { return nil })
		if !errors.Is(err, ErrOutcomeUnknown) {
			t.Errorf("Do whose release was not answered: %v, want ErrOutcomeUnknown", err)
		}
		s.intercept(nil)
		err = c.Do(t.Context(), "", func(context.Context, *Lease) error { t.Error("fn ran"); return nil }, WithOwner(""))
		if !errors.Is(err, ErrInvalid) {
			t.Errorf("Do: %v, want ErrInvalid", err)
		}
	})
}
