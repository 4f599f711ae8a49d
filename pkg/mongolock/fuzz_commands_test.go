/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package mongolock

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// callers is what callers supply for a command.
type callers struct {
	lock, holderID, owner, key, value, reason string
	keys                                      uint8
	lease                                     time.Duration
}

func (c callers) valid() bool {
	s := newSettings(nil).lock
	s.owner, s.metadata, s.lease = c.owner, metadataOf(c.key, c.value, c.keys), c.lease
	return validateID(c.lock) == nil && s.validate(MinLease) == nil && c.holderID != "" && len(c.reason) <= MaxReasonBytes &&
		utf8.ValidString(c.holderID) && utf8.ValidString(c.reason)
}

func (c callers) acquisition() acquisition {
	return acquisition{
		lock: c.lock, holderID: c.holderID, owner: c.owner, mode: modeExclusive, leaseMS: c.lease.Milliseconds(),
		meta: metaPairs(metadataOf(c.key, c.value, c.keys)),
	}
}

func (c callers) grants() []grant {
	g := grant{grantRef: grantRef{c.lock, c.holderID}, token: 1795430435218}
	return []grant{g, g}
}

// pipelines are all that has a caller's value in it and is evaluated.
func (c callers) pipelines(t *templates) map[string]any {
	a := c.acquisition()
	sharing, barging := a, a
	sharing.mode, barging.barge = modeShared, true
	g := grant{grantRef: a.ref(), owner: a.owner, token: 1795430435218}
	return map[string]any{
		"acquire": acquirePipeline(a), "acquire by template": t.acquire(a), "try": tryPipeline(a), "try shared": tryPipeline(sharing),
		"try barging": tryPipeline(barging), "queue": queuePipeline(a), "renew": renewPipeline(c.grants()), "release": releasePipeline(g),
		"release by template": t.release(g), "leave": leavePipeline(c.holderID), "evict": evictPipeline(g.token, c.reason),
		"projection": bson.A{queueProjection(c.holderID)},
	}
}

// filters are all that has a caller's value in it and is compared.
func (c callers) filters() map[string]any {
	return map[string]any{
		"acquire": anyByID(c.lock), "by id": byID(c.lock), "renew": renewFilter(c.grants()), "leave": leaveFilter(c.grants()[0].grantRef), "hold": holdFilter(c.grants()[0].grantRef),
		"evict": evictFilter(c.lock, 1795430435218), "find": query{ids: []string{c.lock, c.owner}}.filter(),
		"list": query{prefix: c.lock, after: c.owner}.filter(), "stub": stub(c.lock, time.UnixMilli(1)),
	}
}

// Nothing that callers supply is ever evaluated, whatever it is: a command differs from one about harmless values in what stands below
// $literal, a filter in the strings to compare with, and in nothing else. And a template makes the same command as the pipeline that it
// saves making.
func FuzzCommands(f *testing.F) {
	const second = int64(time.Second)
	add := func(s string) { f.Add(s, s, s, s, s, s, uint8(2), 15*second) }
	for _, s := range []string{
		"$x", "$$NOW", "$$ROOT.state", "$literal", `{"$add": 1}`, "exclusive", "acquired", "$state.fence", "_id", "a\x00b", ".", "x.$", "15000 x",
	} {
		add(s)
	}
	f.Add("$lock", strings.Repeat("$", len(markID)), "$fence", "", "", "", uint8(0), second)
	f.Add("x", strings.Repeat("A", len(markID)), "acquire 15000 x", "", "", "", uint8(0), int64(MaxLease))
	f.Add("x", "H", "o", "$add", "$$NOW", "$reason", uint8(16), second)
	kept := &templates{byKey: map[string]*template{}} // by all inputs, as by all calls of a process
	f.Fuzz(func(t *testing.T, lock, holderID, owner, key, value, reason string, keys uint8, lease int64) {
		c := callers{lock, holderID, owner, key, value, reason, keys, time.Duration(lease)}
		if !c.valid() {
			return
		}
		harmless := callers{"LOCK", strings.Repeat("H", len(holderID)), "OWNER", "KEY", "VALUE", strings.Repeat("R", len(reason)), keys, c.lease}
		pipelines, want := c.pipelines(kept), harmless.pipelines(kept)
		for name, pipeline := range pipelines {
			got, literals := skeleton(t, pipeline, true)
			if plain, _ := skeleton(t, want[name], true); got != plain {
				t.Errorf("%s: %+v is evaluated in\n%s\nwhich for harmless values is\n%s", name, c, got, plain)
			}
			checkLiterals(t, name, c, literals)
		}
		for _, name := range []string{"acquire", "release"} {
			if got, want := flat(t, pipelines[name+" by template"]), flat(t, pipelines[name]); !bytes.Equal(got, want) {
				t.Errorf("%s: by template it is\n%s\nwithout\n%s", name, bson.Raw(got), bson.Raw(want))
			}
		}
		plain := harmless.filters()
		for name, filter := range c.filters() {
			got, _ := skeleton(t, filter, false)
			if want, _ := skeleton(t, plain[name], false); got != want {
				t.Errorf("filter of %s: for %+v it is\n%s\nfor harmless values\n%s", name, c, got, want)
			}
		}
	})
}

// checkLiterals: what the caller supplied is there, as it is.
func checkLiterals(t *testing.T, name string, c callers, literals []bson.RawValue) {
	t.Helper()
	g := c.grants()[0]
	needed := map[string][]any{
		"evict": {c.reason}, "renew": {bson.A{bson.A{c.holderID, g.token}, bson.A{c.holderID, g.token}}}, "leave": {c.holderID}, "projection": {c.holderID}, "release": {c.owner},
		"release by template": {c.owner},
	}
	values, ok := needed[name]
	if !ok {
		values = []any{c.holderID, c.owner, c.acquisition().meta}
	}
	for _, value := range values {
		want := bson.Raw(flat(t, value)).Lookup("")
		if value != "" && !slices.ContainsFunc(literals, want.Equal) {
			t.Errorf("%s: %s is not among the literals %s", name, want, literals)
		}
	}
}

// flat is the value as it is sent, in a document.
func flat(t *testing.T, value any) []byte {
	t.Helper()
	raw, err := bson.Marshal(bson.D{{Key: "", Value: value}})
	if err != nil {
		t.Fatalf("%+v cannot be sent: %v", value, err)
	}
	return raw
}

// skeleton is the text of a value as it is sent, without what stands below $literal, which it returns beside it. If the value is not to be
// evaluated, strings that are no keys are left out too.
func skeleton(t *testing.T, value any, evaluated bool) (string, []bson.RawValue) {
	t.Helper()
	var text strings.Builder
	var literals []bson.RawValue
	var down func(v bson.RawValue)
	down = func(v bson.RawValue) {
		switch v.Type {
		case bson.TypeEmbeddedDocument, bson.TypeArray:
			elements, err := bson.Raw(v.Value).Elements()
			if err != nil {
				t.Fatalf("%+v is sent as invalid BSON: %v", value, err)
			}
			fmt.Fprintf(&text, "%s(", v.Type)
			for _, e := range elements {
				fmt.Fprintf(&text, "%q:", e.Key())
				if e.Key() == "$literal" && len(elements) == 1 && evaluated {
					literals = append(literals, e.Value())
					continue
				}
				down(e.Value())
			}
			text.WriteString(")")
		case bson.TypeString:
			if evaluated {
				fmt.Fprintf(&text, "%q ", v.StringValue())
			}
			text.WriteString("string ")
		default:
			fmt.Fprintf(&text, "%s %s ", v.Type, v)
		}
	}
	down(bson.Raw(flat(t, value)).Lookup(""))
	return text.String(), literals
}
