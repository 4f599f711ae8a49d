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
	"maps"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// refusals are the texts of the limits that are not kept, as the documentation has them.
type refusals []string

// unless adds the limit that is named by text.
func (r *refusals) unless(kept bool, text string, args ...any) {
	if !kept {
		*r = append(*r, fmt.Sprintf(text, args...))
	}
}

// check compares an answer with what it should be.
func (r *refusals) check(t *testing.T, what string, err error) {
	t.Helper()
	switch {
	case len(*r) == 0 && err != nil:
		t.Errorf("%s: %v, want it accepted", what, err)
	case len(*r) > 0 && !errors.Is(err, ErrInvalid):
		t.Errorf("%s: %v, want ErrInvalid for %q", what, err, *r)
	case len(*r) > 0 && !slices.ContainsFunc(*r, func(text string) bool { return strings.Contains(err.Error(), text) }):
		t.Errorf("%s: %v names none of %q", what, err, *r)
	case err != nil && !utf8.ValidString(err.Error()):
		t.Errorf("%s: %q is not UTF-8", what, err.Error())
	}
}

// metadataOf are n entries, whose keys have a number each.
func metadataOf(key, value string, n uint8) map[string]string {
	m := map[string]string{}
	for i := range n {
		m[fmt.Sprint(i)+key] = value
	}
	return m
}

// An acquisition is refused with the name of a limit, or is within all limits.
func FuzzLimitsOfAnAcquisition(f *testing.F) {
	const second, hours = int64(time.Second), int64(24 * time.Hour)
	for _, s := range []string{"", "x", "$x\x00", notUTF8, euro, scratchPrefix + "x"} {
		f.Add(s, "owner", "key", "value", uint8(1), 15*second, int64(0), second, second)
		f.Add("x", s, "key", "value", uint8(1), 15*second, int64(0), second, second)
		f.Add("x", "owner", s, "value", uint8(16), 15*second, int64(0), second, second)
		f.Add("x", "owner", "key", s, uint8(17), 15*second, int64(0), second, second)
	}
	f.Add(strings.Repeat(euro, 171), "owner", "", "", uint8(0), 15*second, int64(0), second, second)
	f.Add("x", strings.Repeat(euro, 86), "", "", uint8(0), 15*second, int64(0), second, second)
	f.Add("x", "owner", "", strings.Repeat("v", MaxMetadataBytes-1), uint8(1), 15*second, int64(0), second, second)
	f.Add("x", "owner", "", strings.Repeat("v", MaxMetadataBytes), uint8(1), 15*second, int64(0), second, second)
	for _, n := range []int64{-1 << 63, -1, 0, 1, second - 1, second, second + 1, hours, hours + 1, 1<<63 - 1} {
		f.Add("x", "owner", "", "", uint8(0), n, int64(0), second, second)
		f.Add("x", "owner", "", "", uint8(0), 2*second, n, second, second)
		f.Add("x", "owner", "", "", uint8(0), 15*second, int64(0), n, second)
		f.Add("x", "owner", "", "", uint8(0), second/2, int64(0), second, n)
	}
	f.Fuzz(func(t *testing.T, id, owner, key, value string, keys uint8, lease, margin, retry, shortest int64) {
		metadata := metadataOf(key, value, keys)
		opts := []LockOption{
			WithLease(time.Duration(lease)), WithMargin(time.Duration(margin)), WithRetryPeriod(time.Duration(retry)), WithOwner(owner),
			WithMetadata(metadata),
		}
		settings := newSettings([]Option{WithMinLease(time.Duration(shortest)), WithLease(time.Second)})
		var of refusals
		of.unless(settings.minLease >= 10*time.Millisecond && settings.minLease <= MinLease, "it must be 10ms to 1s")
		of.check(t, "shortest lease", settings.validate())
		if len(of) > 0 {
			return
		}
		of.unless(len(id) <= MaxIDBytes, "must have 1 to 512")
		of.unless(utf8.ValidString(id), "is not UTF-8")
		of.unless(!strings.HasPrefix(id, scratchPrefix), "which is reserved")
		of.unless(lease >= shortest && lease <= hours, "it must be %s to 24h0m0s", settings.minLease)
		of.unless(lease%1e6 == 0, "whole milliseconds")
		of.unless(margin >= 0 && margin < lease/2, "less than half of the lease")
		of.unless(retry >= 10e6 && retry <= hours, "it must be 10ms to 24h0m0s")
		of.unless(owner != "" && len(owner) <= MaxOwnerBytes, "must have 1 to 256")
		of.unless(utf8.ValidString(owner), "is not UTF-8")
		size := 0
		for k, v := range metadata {
			size += len(k) + len(v)
			of.unless(utf8.ValidString(k) && utf8.ValidString(v), "is not UTF-8")
		}
		of.unless(len(metadata) <= MaxMetadataKeys, "may have 16")
		of.unless(size <= MaxMetadataBytes, "may have 4096")
		got, s, err := (&Client{settings: settings}).lockSettings(id, opts)
		of.check(t, "acquisition", err)
		if err != nil {
			return
		}
		if got != id && id != "" || got == "" || s.owner != owner || s.lease != time.Duration(lease) || !maps.Equal(s.metadata, metadata) {
			t.Errorf("accepted as %q, %+v", got, s)
		}
		for _, granted := range []time.Duration{s.lease, s.lease / 2, MinLease, time.Millisecond} {
			if g := s.granted(granted); g.lease > granted || g.effectiveMargin() <= 0 || g.effectiveMargin() >= g.lease/2 {
				t.Errorf("granted a lease of %s the margin is %s of %s", granted, g.effectiveMargin(), g.lease)
			}
		}
	})
}

// What an administrator or a program's start decides is refused with the name of a limit, or is within all limits, and a policy comes back
// as it was set.
func FuzzLimitsOfAClient(f *testing.F) {
	const minute = int64(time.Minute)
	f.Add("dlocks", "dlocks", minute, 3, true, minute, false, int64(1), "why")
	f.Add("", "dlocks", int64(0), 0, false, int64(0), true, int64(0), "")
	f.Add("dlocks", "", minute+1, MaxCapacity, false, int64(MaxLease), false, int64(-1), notUTF8)
	f.Add("x", "x", int64(maxGrace)+1e9, MaxCapacity+1, false, int64(MaxLease)+1e6, false, int64(1<<62), strings.Repeat(euro, 86))
	f.Add("x", "x", int64(0), 0, false, int64(MinLease)+1, false, int64(1), strings.Repeat("r", MaxReasonBytes))
	f.Add("x", "x", -minute, -1, false, int64(MinLease)-1, false, int64(-1<<63), "$reason")
	c := newClient(f.Context(), newSettings(nil), newFakeStore(), nil, func() time.Duration { return 0 })
	if err := c.Close(context.WithoutCancel(f.Context())); err != nil { // what is accepted gets no further
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, database, collection string, grace int64, capacity int, suspended bool, maxLease int64, retain bool,
		token int64, reason string,
	) {
		var of refusals
		of.unless(database != "", "the database has no name")
		of.unless(collection != "", "the collection has no name")
		of.unless(grace == 0 || grace >= minute && grace <= int64(maxGrace) && grace%1e9 == 0, "1m0s to 8760h0m0s in whole seconds")
		of.check(t, "client", newSettings([]Option{WithDatabase(database), WithCollection(collection), WithGrace(time.Duration(grace))}).validate())

		p := Policy{Capacity: capacity, Suspended: suspended, MaxLease: time.Duration(maxLease), Retain: retain}
		of = nil
		of.unless(capacity >= 0 && capacity <= MaxCapacity, "it must be 1 to 1000")
		of.unless(p.MaxLease == 0 || p.MaxLease >= MinLease && p.MaxLease <= MaxLease && maxLease%1e6 == 0, "1s to 24h0m0s in whole milliseconds")
		of.check(t, "policy", accepted(c.SetPolicy(t.Context(), "x", p)))
		if len(of) == 0 {
			checkPolicy(t, p)
		}

		of = nil
		of.unless(token > 0, "which is positive")
		of.unless(len(reason) <= MaxReasonBytes && utf8.ValidString(reason), "UTF-8 of at most 256")
		of.check(t, "eviction", accepted(c.Evict(t.Context(), "x", token, reason)))
	})
}

// accepted is nil if the client, which is closed, would have sent something.
func accepted(err error) error {
	if errors.Is(err, ErrClosed) {
		return nil
	}
	return err
}

// checkPolicy: a policy that is stored, read and set again is the same, and means the same as the one that was set.
func checkPolicy(t *testing.T, p Policy) {
	t.Helper()
	doc, ok := decode(marshal(document{
		ID: "x", V: schemaVersion, Policy: p.stored(), State: lockState{Holders: []holder{}, Waiters: []waiterDoc{}, Events: []event{}},
	}))
	if !ok || doc.foreign != nil {
		t.Fatalf("a document with the policy %+v is read as %+v", p.stored(), doc)
	}
	want := p
	want.Capacity = max(p.Capacity, 1)
	want.Retain = p.Retain || want.Capacity != 1 || p.Suspended || p.MaxLease != 0 && p.MaxLease != MaxLease
	if want.MaxLease == MaxLease { // the same as no limit
		want.MaxLease = 0
	}
	got := doc.state().Policy
	if got != want || got.validate() != nil || got.stored() != p.stored() {
		t.Errorf("%+v comes back as %+v, want %+v", p, got, want)
	}
}
