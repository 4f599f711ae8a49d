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
	"testing"
	"testing/synctest"
	"time"
)

// listed reads a whole list.
func listed(t *testing.T, seq func(func(State, error) bool)) []string {
	t.Helper()
	var ids []string
	for state, err := range seq {
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, state.ID)
	}
	return ids
}

// Lists are read in pages, and can be read again.
func TestListInPages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFakeStore()
		c := fakeClient(t, s)
		const n = 2*listPage + 7
		for i := range n {
			s.put(document{ID: fmt.Sprintf("lock/%04d", i), V: schemaVersion})
		}
		s.put(document{ID: scratchPrefix + "x", V: schemaVersion})
		seq := c.List(t.Context(), WithPrefix("lock/"))
		for _, time := range []string{"first", "second"} {
			if ids := listed(t, seq); len(ids) != n || ids[0] != "lock/0000" {
				t.Errorf("%s time: %d locks, want %d", time, len(ids), n)
			}
		}
		if pages := len(s.sent("find")); pages != 6 {
			t.Errorf("read in %d pages, want twice 3", pages)
		}
		if ids := listed(t, c.List(t.Context())); len(ids) != n {
			t.Errorf("%d locks, want %d without the self-test's", len(ids), n)
		}
		for _, err := range seq {
			if err != nil {
				t.Error(err)
			}
			break
		}
	})
}

func TestListOfHeldLocks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFakeStore()
		c := fakeClient(t, s)
		mustLock(t, c, "held")
		mustUnlock(t, mustLock(t, c, "free"))
		mustLock(t, c, "expired", WithAutoRenew(false))
		time.Sleep(DefaultLease)
		if ids := listed(t, c.List(t.Context(), HeldOnly())); len(ids) != 1 || ids[0] != "held" {
			t.Errorf("held are %v, want [held]", ids)
		}
	})
}

// A read that fails in passing is made once more.
func TestReadsAreRepeatedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFakeStore()
		c := fakeClient(t, s)
		mustLock(t, c, "x", WithMetadata(map[string]string{"k": "v"}))
		s.intercept(once("find", breakReply))
		state, err := c.Get(t.Context(), "x")
		if err != nil || !state.Held() || !state.Exists || state.Holders[0].Metadata["k"] != "v" || state.Events[0].Type != EventAcquired {
			t.Errorf("Get: %+v, %v", state, err)
		}
		if state, err = c.Get(t.Context(), "absent"); err != nil || state.Exists || state.ID != "absent" {
			t.Errorf("Get of an absent lock: %+v, %v", state, err)
		}
		s.intercept(hang)
		start := time.Now()
		if _, err = c.Get(t.Context(), "x"); !errors.Is(err, ErrUnreachable) || time.Since(start) != 2*maxAttempt {
			t.Errorf("Get: %v after %s, want ErrUnreachable after %s", err, time.Since(start), 2*maxAttempt)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		for _, err := range c.List(ctx) {
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("List: %v, want DeadlineExceeded", err)
			}
		}
	})
}

func TestForeignDocumentsAreTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFakeStore()
		c := fakeClient(t, s)
		s.put(document{ID: "x", foreign: foreignDocument("x")})
		if _, err := c.Get(t.Context(), "x"); !errors.Is(err, ErrForeignDocument) {
			t.Errorf("Get: %v, want ErrForeignDocument", err)
		}
		if _, err := c.TryLock(t.Context(), "x"); !errors.Is(err, ErrForeignDocument) || errors.Is(err, ErrOutcomeUnknown) {
			t.Errorf("TryLock: %v, want ErrForeignDocument", err)
		}
		checkChanges(t, "watch", collect(mustWatch(t, c, "x")).after(time.Minute), "")
	})
}
