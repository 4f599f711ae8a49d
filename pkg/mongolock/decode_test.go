/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package mongolock

import (
	"errors"
	"strings"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// What is not as our commands write it is foreign. Of most of these bson.Unmarshal makes a lock, and of many a free one.
func TestDamagedDocumentsAreForeign(t *testing.T) {
	lock := aLock(t)
	if doc, ok := decode(lock); !ok || doc.foreign != nil || len(doc.state().Holders) != 2 {
		t.Fatalf("the document is read as %+v, %t", doc, ok)
	}
	set := func(value any) func(bson.D, int) bson.D {
		return func(fields bson.D, i int) bson.D { fields[i].Value = value; return fields }
	}
	rename := func(name string) func(bson.D, int) bson.D {
		return func(fields bson.D, i int) bson.D { fields[i].Key = name; return fields }
	}
	add := func(name string, value any) func(bson.D, int) bson.D {
		return func(fields bson.D, _ int) bson.D { return append(fields, bson.E{Key: name, Value: value}) }
	}
	remove := func(fields bson.D, i int) bson.D { return append(fields[:i:i], fields[i+1:]...) }
	free := bson.D{{Key: "holders", Value: bson.A{}}}
	for name, tt := range map[string]struct {
		path   string
		change func(bson.D, int) bson.D
	}{
		"a lease that ends never":         {"state/holders/0/expiresAt", set(nil)},
		"no end of a lease":               {"state/holders/0/expiresAt", remove},
		"a lease that ends at a number":   {"state/holders/0/expiresAt", set(int64(1))},
		"a lease that ends at a text":     {"state/holders/0/expiresAt", set("2020-01-02T03:04:05.678Z")},
		"a lease that ends by oplog time": {"state/holders/0/expiresAt", set(bson.Timestamp{T: 1})},
		"a lease that ends too late":      {"state/holders/0/expiresAt", set(time.UnixMilli(endOfTime))},
		"a lease from before all time":    {"state/holders/0/acquiredAt", set(time.UnixMilli(beginOfTime - 1))},
		"two ends of a lease":             {"state/holders/0/expiresAt", add("expiresAt", time.UnixMilli(0))},
		"a holder that is null":           {"state/holders/0", set(nil)},
		"a holder of no known mode":       {"state/holders/0/mode", set("write")},
		"a holder without an id":          {"state/holders/0/id", remove},
		"a lease that is too long":        {"state/holders/0/lease", set(MaxLease.Milliseconds() + 1)},
		"a negative token":                {"state/holders/0/token", set(int64(-1))},
		"no holders":                      {"state/holders", set(nil)},
		"holders by another name":         {"state/holders", rename("Holders")},
		"a second state":                  {"state", add("state", free)},
		"waiters that are null":           {"state/waiters", set(nil)},
		"a flag that is a number":         {"policy/suspended", set(int32(0))},
		"half a capacity":                 {"policy/capacity", set(2.5)},
		"a policy without a limit":        {"policy/maxLease", remove},
		"a version by another name":       {"v", rename("V")},
		"a version that overflows":        {"v", set(int64(1<<32 + schemaVersion))},
		"a version and a half":            {"v", set(2.5)},
		"a version that is true":          {"v", set(true)},
	} {
		doc, ok := decode(rebuild(lock, strings.Split(tt.path, "/"), tt.change))
		if !ok || !errors.Is(doc.foreign, ErrForeignDocument) || doc.ID != "reports/nightly" {
			t.Errorf("%s: %+v, %t", name, doc, ok)
		}
	}
	for name, tt := range map[string]struct {
		path   string
		change func(bson.D, int) bson.D
	}{
		"as it is":                  {"v", set(schemaVersion)},
		"a lease that ends late":    {"state/holders/0/expiresAt", set(time.UnixMilli(endOfTime - 1))},
		"doubles, as a shell has":   {"policy/capacity", set(3.0)},
		"a field of somebody's own": {"state", add("note", "x")},
		"one in capitals":           {"state", add("State", free)},
		"metadata that are null":    {"state/holders/0/meta", set(nil)},
		"a projection":              {"policy", remove},
	} {
		if doc, ok := decode(rebuild(lock, strings.Split(tt.path, "/"), tt.change)); !ok || doc.foreign != nil || len(doc.state().Holders) != 2 {
			t.Errorf("%s: %+v, %t", name, doc, ok)
		}
	}
}

// A document that cannot be read blinds nobody who waits for another lock.
func TestUnreadableGlimpse(t *testing.T) {
	s := newTestServer(t)
	c := s.client(t)
	for _, id := range []string{"damaged", "whole"} {
		defer mustUnlock(t, mustLock(t, c, id))
	}
	s.setStored(t, "damaged", "state.grants", "many")
	seen, err := c.store.glance(t.Context(), []string{"damaged", "whole"})
	if err != nil || len(seen) != 1 || seen[0].ID != "whole" || len(seen[0].State.Holders) != 1 {
		t.Errorf("seen %+v, %v", seen, err)
	}
	if state, err := c.Get(t.Context(), "damaged"); !errors.Is(err, ErrForeignDocument) {
		t.Errorf("Get: %+v, %v, want ErrForeignDocument", state, err)
	}
	s.setStored(t, "damaged", "state.grants", int64(1))
}
