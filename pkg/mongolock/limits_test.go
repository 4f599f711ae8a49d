/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package mongolock

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr/funcr"
)

// keys are n metadata entries of size bytes each.
func keys(n, size int) map[string]string {
	m := map[string]string{}
	for i := range n {
		k := fmt.Sprintf("%03d", i)
		m[k] = strings.Repeat("v", size-len(k))
	}
	return m
}

const (
	notUTF8 = "a\xffb"
	// euro has three bytes: limits count bytes, not characters.
	euro = "€"
)

func TestRule09LimitsOfAnAcquisition(t *testing.T) {
	cases := map[string]struct {
		id    string
		opts  []LockOption
		limit string // what the text of the refusal names; empty: accepted
	}{
		"shortest id":             {id: "x"},
		"longest id":              {id: strings.Repeat("x", MaxIDBytes)},
		"id too long":             {id: strings.Repeat("x", MaxIDBytes+1), limit: "1 to 512"},
		"id too long in bytes":    {id: strings.Repeat(euro, 171), limit: "1 to 512"},
		"id not UTF-8":            {id: notUTF8, limit: "UTF-8"},
		"reserved id":             {id: scratchPrefix + "x", limit: scratchPrefix},
		"reserved id, not quite":  {id: strings.TrimSuffix(scratchPrefix, "/")},
		"$ in id":                 {id: "$x.$$NOW\x00"},
		"shortest lease":          {opts: []LockOption{WithLease(MinLease)}},
		"lease too short":         {opts: []LockOption{WithLease(MinLease - time.Millisecond)}, limit: "1s to 24h"},
		"no lease":                {opts: []LockOption{WithLease(0)}, limit: "1s to 24h"},
		"negative lease":          {opts: []LockOption{WithLease(-time.Hour)}, limit: "1s to 24h"},
		"longest lease":           {opts: []LockOption{WithLease(MaxLease)}},
		"lease too long":          {opts: []LockOption{WithLease(MaxLease + time.Millisecond)}, limit: "1s to 24h"},
		"lease in microseconds":   {opts: []LockOption{WithLease(time.Second + time.Microsecond)}, limit: "whole milliseconds"},
		"smallest margin":         {opts: []LockOption{WithMargin(1)}},
		"largest margin":          {opts: []LockOption{WithLease(2 * time.Second), WithMargin(time.Second - 1)}},
		"margin too large":        {opts: []LockOption{WithLease(2 * time.Second), WithMargin(time.Second)}, limit: "less than half of the lease of 2s"},
		"negative margin":         {opts: []LockOption{WithMargin(-1)}, limit: "or positive"},
		"shortest retry period":   {opts: []LockOption{WithRetryPeriod(10 * time.Millisecond)}},
		"retry period too short":  {opts: []LockOption{WithRetryPeriod(10*time.Millisecond - 1)}, limit: "10ms to 24h"},
		"shortest owner":          {opts: []LockOption{WithOwner("o")}},
		"longest owner":           {opts: []LockOption{WithOwner(strings.Repeat("o", MaxOwnerBytes))}},
		"no owner":                {opts: []LockOption{WithOwner("")}, limit: "1 to 256"},
		"owner too long":          {opts: []LockOption{WithOwner(strings.Repeat("o", MaxOwnerBytes+1))}, limit: "1 to 256"},
		"owner too long in bytes": {opts: []LockOption{WithOwner(strings.Repeat(euro, 86))}, limit: "1 to 256"},
		"owner not UTF-8":         {opts: []LockOption{WithOwner(notUTF8)}, limit: "UTF-8"},
		"most keys":               {opts: []LockOption{WithMetadata(keys(MaxMetadataKeys, 10))}},
		"too many keys":           {opts: []LockOption{WithMetadata(keys(MaxMetadataKeys+1, 10))}, limit: "may have 16"},
		"most metadata":           {opts: []LockOption{WithMetadata(keys(MaxMetadataKeys, MaxMetadataBytes/MaxMetadataKeys))}},
		"too much metadata":       {opts: []LockOption{WithMetadata(keys(1, MaxMetadataBytes+1))}, limit: "may have 4096"},
		"too long a key":          {opts: []LockOption{WithMetadata(map[string]string{strings.Repeat("k", MaxMetadataBytes+1): ""})}, limit: "may have 4096"},
		"empty key":               {opts: []LockOption{WithMetadata(map[string]string{"": ""})}},
		"key not UTF-8":           {opts: []LockOption{WithMetadata(map[string]string{notUTF8: ""})}, limit: "UTF-8"},
		"value not UTF-8":         {opts: []LockOption{WithMetadata(map[string]string{"k": notUTF8})}, limit: "UTF-8"},
		"no metadata":             {opts: []LockOption{WithMetadata(nil)}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newFakeStore()
				c := fakeClient(t, s)
				if tc.limit == "" {
					lease, err := c.TryLock(t.Context(), tc.id, tc.opts...)
					if err != nil {
						t.Fatal(err)
					}
					state, err := c.Get(t.Context(), lease.ID())
					if err != nil || len(state.Holders) != 1 {
						t.Fatalf("Get: %+v, %v", state, err)
					}
					h := state.Holders[0]
					if h.Lease != lease.lease || h.Owner != lease.Owner() || tc.id != "" && state.ID != tc.id {
						t.Errorf("stored %+v", state)
					}
					return
				}
				_, tryErr := c.TryLock(t.Context(), tc.id, tc.opts...)
				_, lockErr := c.Lock(t.Context(), tc.id, tc.opts...)
				errs := map[string]error{"TryLock": tryErr, "Lock": lockErr}
				if tc.opts == nil {
					_, errs["Get"] = c.Get(t.Context(), tc.id)
					_, errs["Watch"] = c.Watch(t.Context(), tc.id)
				}
				for operation, err := range errs {
					if !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), tc.limit) {
						t.Errorf("%s: %v, want ErrInvalid that names %q", operation, err, tc.limit)
					}
				}
				if calls := s.sent(""); len(calls) != 0 {
					t.Errorf("%v were sent", calls)
				}
			})
		})
	}
}

// A client refuses the same as defaults, and what concerns it alone, before anything is sent.
func TestRule09LimitsOfAClient(t *testing.T) {
	cases := map[string]struct {
		opts  []Option
		limit string
	}{
		"defaults":             {},
		"no database":          {opts: []Option{WithDatabase("")}, limit: "database has no name"},
		"no collection":        {opts: []Option{WithCollection("")}, limit: "collection has no name"},
		"shortest grace":       {opts: []Option{WithGrace(MinGrace)}},
		"grace too short":      {opts: []Option{WithGrace(MinGrace - time.Second)}, limit: "1m0s to 8760h"},
		"longest grace":        {opts: []Option{WithGrace(maxGrace)}},
		"grace too long":       {opts: []Option{WithGrace(maxGrace + time.Second)}, limit: "1m0s to 8760h"},
		"grace in ms":          {opts: []Option{WithGrace(MinGrace + time.Millisecond)}, limit: "whole seconds"},
		"shortest MinLease":    {opts: []Option{WithMinLease(10 * time.Millisecond), WithLease(10 * time.Millisecond)}},
		"MinLease too short":   {opts: []Option{WithMinLease(10*time.Millisecond - 1)}, limit: "10ms to 1s"},
		"MinLease too long":    {opts: []Option{WithMinLease(MinLease + 1)}, limit: "10ms to 1s"},
		"lease below MinLease": {opts: []Option{WithMinLease(100 * time.Millisecond), WithLease(99 * time.Millisecond)}, limit: "100ms to 24h"},
		"default lease":        {opts: []Option{WithLease(MinLease - time.Millisecond)}, limit: "1s to 24h"},
		"default owner":        {opts: []Option{WithOwner("")}, limit: "1 to 256"},
		"default metadata":     {opts: []Option{WithMetadata(keys(MaxMetadataKeys+1, 10))}, limit: "may have 16"},
	}
	for name, tc := range cases {
		err := newSettings(tc.opts).validate()
		if tc.limit == "" && err != nil {
			t.Errorf("%s: %v, want it accepted", name, err)
		}
		if tc.limit != "" && (!errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), tc.limit)) {
			t.Errorf("%s: %v, want ErrInvalid that names %q", name, err, tc.limit)
		}
	}
}

func TestOptionsAreInherited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFakeStore()
		defaults := map[string]string{"from": "client"}
		var logged atomic.Bool
		c := fakeClient(t, s, WithLease(20*time.Second), WithOwner("client"), WithMetadata(defaults), WithAutoRenew(false),
			WithMargin(3*time.Second), WithRetryPeriod(time.Minute), WithCollection("c"), WithDatabase("d"), WithGrace(2*time.Minute),
			WithDeferredCheck(), WithoutRelease(), WithLogger(funcr.New(func(string, string) { logged.Store(true) }, funcr.Options{})))
		if got := c.settings; got.collection != "c" || got.database != "d" || got.grace != 2*time.Minute || !got.deferCheck || !got.keepOnClose {
			t.Errorf("settings %+v", got)
		}
		inherited := mustLock(t, c, "inherited")
		own := mustLock(t, c, "own", WithLease(40*time.Second), WithOwner("call"), WithMetadata(map[string]string{"from": "call"}),
			WithAutoRenew(true), WithMargin(5*time.Second))
		again := mustLock(t, c, "again")
		for _, want := range []struct {
			lease         *Lease
			owner         string
			length, local time.Duration
			autoRenew     bool
		}{
			{inherited, "client", 20 * time.Second, 17 * time.Second, false},
			{own, "call", 40 * time.Second, 35 * time.Second, true},
			{again, "client", 20 * time.Second, 17 * time.Second, false},
		} {
			h := s.stored(want.lease.ID()).State.Holders[0].public()
			if h.Owner != want.owner || h.Lease != want.length || !maps.Equal(h.Metadata, map[string]string{"from": want.owner}) ||
				want.lease.Owner() != want.owner || time.Until(want.lease.Deadline()) != want.local || want.lease.autoRenew != want.autoRenew {
				t.Errorf("%s: stored %+v, %s left; want %+v", want.lease.ID(), h, time.Until(want.lease.Deadline()), want)
			}
		}
		<-inherited.Done()
		synctest.Wait()
		if !logged.Load() {
			t.Error("a loss was not logged")
		}
	})
}

func TestDefaultMargin(t *testing.T) {
	for lease, want := range map[time.Duration]time.Duration{
		MinLease: 100 * time.Millisecond, 10 * time.Second: time.Second, DefaultLease: time.Second, MaxLease: time.Second,
	} {
		if got := (lockSettings{lease: lease}).effectiveMargin(); got != want {
			t.Errorf("margin of a lease of %s: %s, want %s", lease, got, want)
		}
	}
}

func TestDefaultOwner(t *testing.T) {
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	if got, want := defaultOwner(), fmt.Sprintf("%s/%d", host, os.Getpid()); got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestEmptyIDMeansARandomOne(t *testing.T) {
	form := regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)
	seen := map[string]bool{}
	for range 1000 {
		id := newUUID()
		if !form.MatchString(id) || seen[id] {
			t.Fatalf("%q is not a new random UUID", id)
		}
		seen[id] = true
	}
	synctest.Test(t, func(t *testing.T) {
		c := fakeClient(t, newFakeStore())
		one, other := mustLock(t, c, ""), mustLock(t, c, "")
		if !form.MatchString(one.ID()) || one.ID() == other.ID() {
			t.Errorf("locks %q and %q, want two random UUIDs", one.ID(), other.ID())
		}
		for _, err := range []error{validateID(""), func() error { _, err := c.Get(t.Context(), ""); return err }()} {
			if !errors.Is(err, ErrInvalid) {
				t.Errorf("empty id: %v, want ErrInvalid", err)
			}
		}
	})
}

func TestHolderIDsAreRandom(t *testing.T) {
	seen := map[string]bool{}
	for range 10_000 {
		id := newHolderID()
		if len(id) < 26 || seen[id] {
			t.Fatalf("holder id %q is short or not new", id)
		}
		seen[id] = true
	}
}
