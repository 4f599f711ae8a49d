/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package mongolock

import (
	"bytes"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
)

var update = flag.Bool("update", false, "write the golden files instead of comparing with them")

// goldenGrants are what the golden pipelines are about; the strings are what a server would execute if it were let.
var goldenGrants = []grant{
	{grantRef: grantRef{lock: "reports/nightly", holderID: "HOLDER1"}, token: 1795430435217},
	{grantRef: grantRef{lock: "$lock", holderID: "$holders.id"}, token: 1795430435218},
}

// golden is everything that is sent for a server to evaluate, by the name of its file.
func golden() map[string]any {
	before := time.Date(2026, 1, 2, 3, 4, 5, 678e6, time.UTC)
	plain := acquisition{
		lock: "reports/nightly", holderID: "HOLDER1", owner: "host/1", mode: modeExclusive, leaseMS: 15_000,
		meta: metaPairs(map[string]string{"b": "2", "a": "1"}),
	}
	tricky := acquisition{
		lock: "$lock", holderID: "$holders.id", owner: "$fence", mode: modeShared, leaseMS: 1000, barge: true,
		meta: metaPairs(map[string]string{"$add": "$$NOW"}),
	}
	return map[string]any{
		"acquire":          acquirePipeline(plain),
		"acquire_literal":  acquirePipeline(tricky),
		"acquire_filter":   anyByID("$lock"),
		"try":              tryPipeline(plain),
		"try_barging":      tryPipeline(tricky),
		"queue":            queuePipeline(plain),
		"queue_filter":     byID("$lock"),
		"leave":            leavePipeline(goldenGrants[1].holderID),
		"hold_filter":      holdFilter(goldenGrants[1].grantRef),
		"leave_filter":     leaveFilter(goldenGrants[1].grantRef),
		"evict":            evictPipeline(1795430435218, "$reason"),
		"evict_filter":     evictFilter("$lock", 1795430435218),
		"policy":           policyPipeline(Policy{Capacity: 3, Suspended: true}.stored()),
		"policy_default":   policyPipeline(Policy{}.stored()),
		"purge_filter":     purgeFilter(before),
		"renew":            renewPipeline(goldenGrants),
		"renew_filter":     renewFilter(goldenGrants),
		"release":          releasePipeline(grant{grantRef: goldenGrants[1].grantRef, owner: "$owner", token: 1795430435218}),
		"sweep":            sweepPipeline(),
		"sweep_filter":     sweepFilter(before.Add(-time.Second), before),
		"projection":       projection(),
		"projection_try":   tryProjection(),
		"projection_queue": queueProjection("$id"),
		"projection_look":  glanceProjection(),
		"stub":             stub("reports/nightly", before),
		"find_all":         query{}.filter(),
		"find_ids":         query{ids: []string{"a", "$b"}, after: "a", changedAfter: before}.filter(),
		"find_page":        query{prefix: "reports/", after: "reports/nightly", heldOnly: true, limit: 500}.filter(),
		"find_changed":     query{changedAfter: before}.filter(),
	}
}

// A change of what the server evaluates must be seen, and judged, by a person.
func TestGoldenBSON(t *testing.T) {
	for name, value := range golden() {
		t.Run(name, func(t *testing.T) {
			got := extJSON(t, value)
			path := filepath.Join("testdata", name+".json")
			if *update {
				if err := os.WriteFile(path, got, 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatalf("%v; write it with -update", err)
			}
			if !bytes.Equal(got, want) {
				t.Errorf("%s changed; if that is right, write it with -update. It is now:\n%s", path, got)
			}
		})
	}
	files, err := filepath.Glob(filepath.Join("testdata", "*.json"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if _, ok := golden()[strings.TrimSuffix(filepath.Base(file), ".json")]; !ok {
			t.Errorf("%s belongs to nothing that is sent", file)
		}
	}
}

// extJSON is canonical, so that types show: a long is not an int.
func extJSON(t *testing.T, value any) []byte {
	t.Helper()
	key := "filter"
	if _, ok := value.(bson.A); ok {
		key = "pipeline"
	}
	out, err := bson.MarshalExtJSONIndent(bson.D{{Key: key, Value: value}}, true, false, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return append(out, '\n')
}

// allowed are the operators and variables that MongoDB 4.4 to 8 and DocumentDB share.
var allowed = []string{
	"$set", "$unset", "$cond", "$ifNull", "$filter", "$map", "$concatArrays", "$slice", "$size", "$max", "$add", "$toLong",
	"$mergeObjects", "$and", "$or", "$not", "$eq", "$ne", "$gt", "$gte", "$lt", "$lte", "$in", "$literal", "$exists", "$min", "$subtract",
	"$switch", "$range", "$arrayElemAt", "$indexOfArray",
	"$$NOW", "$$h", "$$w", "$$i",
}

func TestRule04OnlySharedOperators(t *testing.T) {
	for name, value := range golden() {
		walk(t, value, func(path []string, text string, isKey bool) {
			isFilter := strings.HasSuffix(name, "_filter") || strings.HasPrefix(name, "find_") || name == "stub"
			switch {
			case !strings.HasPrefix(text, "$") || slices.Contains(path, "$literal"):
			case !isKey && isFilter: // they evaluate keys only
			case !isKey && !strings.HasPrefix(text, "$$"): // the path of a field
			default:
				operator, _, _ := strings.Cut(text, ".")
				if !slices.Contains(allowed, operator) {
					t.Errorf("%s: %s at %s is not in the list of what all servers share", name, text, strings.Join(path, "/"))
				}
			}
		})
	}
}

// A variable inside $map and $filter may only be the one that they make; $let there crashes some servers.
func TestRule04NoLetInsideMapOrFilter(t *testing.T) {
	for name, value := range golden() {
		walk(t, value, func(path []string, text string, isKey bool) {
			if isKey && text == "$let" && (slices.Contains(path, "$map") || slices.Contains(path, "$filter")) {
				t.Errorf("%s: $let at %s", name, strings.Join(path, "/"))
			}
		})
	}
}

// What callers supply is data: in a pipeline below $literal, in a filter a value to compare with, and never a key.
func TestRule01CallersStringsAreData(t *testing.T) {
	for range 300 {
		lock, holderID, owner := hostile(), hostile(), hostile()
		meta := map[string]string{}
		for range rand.N(4) {
			meta[hostile()] = hostile()
		}
		grants := []grant{{grantRef: grantRef{lock, holderID}, owner: owner}, {grantRef: grantRef{hostile(), hostile()}}}
		a := acquisition{lock: lock, holderID: holderID, owner: owner, mode: modeExclusive, leaseMS: 1000, meta: metaPairs(meta)}
		pipelines := map[string]bson.A{
			"acquire": acquirePipeline(a), "try": tryPipeline(a), "queue": queuePipeline(a),
			"renew": renewPipeline(grants), "release": releasePipeline(grants[0]), "leave": leavePipeline(holderID),
			"evict": evictPipeline(1, owner), "projection": {queueProjection(holderID)},
		}
		for name, pipeline := range pipelines {
			found := 0
			walk(t, pipeline, func(path []string, text string, isKey bool) {
				if !strings.Contains(text, hostileMark) {
					return
				}
				found++
				if isKey || !slices.Contains(path, "$literal") {
					t.Errorf("%s: %q at %s is outside of $literal", name, text, strings.Join(path, "/"))
				}
			})
			if found == 0 {
				t.Errorf("%s: no caller's string was found: the test does not test", name)
			}
		}
		filters := map[string]bson.D{
			"acquire": byID(lock), "renew": renewFilter(grants), "leave": leaveFilter(grants[0].grantRef), "hold": holdFilter(grants[0].grantRef),
			"evict": evictFilter(lock, 1), "find": query{ids: []string{lock, owner}}.filter(), "list": query{prefix: lock, after: owner}.filter(),
		}
		for name, filter := range filters {
			walk(t, filter, func(path []string, text string, isKey bool) {
				if strings.Contains(text, hostileMark) && (isKey || !slices.Contains([]string{"_id", "$or", "state.holders.id"}, path[0])) {
					t.Errorf("filter of %s: %q at %s is not a value to compare with", name, text, strings.Join(path, "/"))
				}
			})
		}
	}
}

// hostileMark is in every hostile string and in nothing that the engine writes.
const hostileMark = "h0st1le"

// hostile is a string that does harm if it is evaluated.
func hostile() string {
	forms := []string{"$%s", "$$%s", "$$ROOT.%s", "$fence.%s", "$literal%s", `{"$add": ["%s", 1]}`, "%s.$", "$%s\x00", "%s"}
	return fmt.Sprintf(forms[rand.N(len(forms))], hostileMark+fmt.Sprint(rand.N(1000)))
}

// walk shows every key and every string of the value as it is sent, with the keys above it.
func walk(t *testing.T, value any, visit func(path []string, text string, isKey bool)) {
	t.Helper()
	raw, err := bson.Marshal(bson.D{{Key: "", Value: value}})
	if err != nil {
		t.Fatal(err)
	}
	var down func(path []string, v bson.RawValue)
	down = func(path []string, v bson.RawValue) {
		switch v.Type {
		case bson.TypeString:
			visit(path, v.StringValue(), false)
		case bson.TypeEmbeddedDocument, bson.TypeArray:
			elements, err := bson.Raw(v.Value).Elements()
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range elements {
				below := path
				if v.Type == bson.TypeEmbeddedDocument {
					visit(path, e.Key(), true)
					below = append(slices.Clone(path), e.Key())
				}
				down(below, e.Value())
			}
		}
	}
	down(nil, bson.Raw(raw).Lookup(""))
}

// The fields of a document and of a grant are those that decode knows: what is written must be read.
func TestWrittenFieldsAreRead(t *testing.T) {
	raw, err := bson.Marshal(stub("x", time.Now()))
	if err != nil {
		t.Fatal(err)
	}
	doc, ok := decode(raw)
	if !ok || doc.foreign != nil || doc.ID != "x" || doc.V != schemaVersion || doc.State.Holders == nil || len(doc.state().Holders) != 0 {
		t.Errorf("the stub is read as %+v, %t", doc, ok)
	}
	now := serverTime()
	want := document{
		ID: "x", V: schemaVersion, Policy: policy{Capacity: 2, Suspended: true, MaxLease: 1000, Retain: true}, Now: now, Place: 1, Queued: 2,
		State: lockState{Fence: 7, Grants: 3, Seq: 9, ChangedAt: now, EndsAt: nil, PurgeAt: now, Holders: []holder{{
			ID: "h", Owner: "o", Mode: modeExclusive, Token: 7, Lease: 15_000, AcquiredAt: now, ExpiresAt: now.Add(time.Second), Rev: 2,
			Meta: []metaPair{{Key: "$k", Value: "v"}}, Pending: true,
		}},
			Waiters: []waiterDoc{{
				ID: "w", Owner: "o", Mode: modeShared, Lease: 1, Since: now, ExpiresAt: now, Meta: []metaPair{{Key: "$k", Value: "v"}},
			}},
			Events: []event{{Seq: 9, Type: string(EventEvicted), Owner: "o", Token: 7, At: now, Reason: "r"}}},
	}
	if raw, err = bson.Marshal(want); err != nil {
		t.Fatal(err)
	}
	doc, ok = decode(raw)
	if got, expect := fmt.Sprintf("%+v", doc), fmt.Sprintf("%+v", want); !ok || got != expect {
		t.Errorf("read %s, want %s", got, expect)
	}
}
