//go:build linux

/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package audit

import (
	"path/filepath"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/mongolock/operator/hack/torture/history"
)

type document = bson.D

// stored is a lock's document with events of these tokens, the last numbered seq.
func stored(seq int64, tokens ...int64) document {
	events := bson.A{}
	for i, token := range tokens {
		events = append(events, document{
			{Key: "seq", Value: seq - int64(len(tokens)-1-i)}, {Key: "type", Value: "acquired"}, {Key: "owner", Value: "o"}, {Key: "token", Value: token},
		})
	}
	state := document{{Key: "seq", Value: seq}, {Key: "grants", Value: seq}, {Key: "events", Value: events}, {Key: "holders", Value: bson.A{}}}
	return document{{Key: "_id", Value: "x"}, {Key: "v", Value: int32(2)}, {Key: "state", Value: state}, {Key: "now", Value: time.UnixMilli(5)}}
}

// TestOrderOfLooks: looks that overlap are told apart by the server's time, and by nothing else.
func TestOrderOfLooks(t *testing.T) {
	at := func(ms int64) bson.Raw {
		raw, err := bson.Marshal(document{{Key: "now", Value: time.UnixMilli(ms)}})
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	knows := func(seq, ms int64) bson.Raw {
		d := stored(seq)
		d[len(d)-1].Value = time.UnixMilli(ms)
		raw, err := bson.Marshal(d)
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	last := &seen{from: 100, to: 300, now: time.UnixMilli(7), state: parse(knows(5, 7))}
	for name, c := range map[string]struct {
		document bson.Raw
		from     history.Stamp
		want     bool
	}{
		"after it":                                 {at(7), 301, true},
		"after it, with a clock that went back":    {at(3), 301, true},
		"after it, without a document":             {nil, 301, true},
		"during it, and stamped later":             {knows(5, 8), 200, true},
		"during it, stamped later, and read first": {knows(4, 8), 200, false},
		"after it, made anew":                      {knows(1, 8), 301, true},
		"during it, and stamped at the same time":  {at(7), 200, false},
		"during it, and stamped earlier":           {at(6), 200, false},
		"during it, without a document":            {nil, 200, false},
		"before it":                                {at(8), 99, false},
	} {
		if got := last.precedes(c.document, c.from); got != c.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}

// TestLooks: each look has the events that the last one did not have, tells of gaps and of documents made anew, and is recorded only if
// it tells anything.
func TestLooks(t *testing.T) {
	path := filepath.Join(t.TempDir(), "looks")
	w, err := history.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	a := New(w, map[*mongo.Collection][]string{nil: {"x"}})
	see := func(d document) {
		var raw bson.Raw
		if d != nil {
			if raw, err = bson.Marshal(d); err != nil {
				t.Fatal(err)
			}
		}
		now := history.Now()
		a.observe("x", raw, now, now+1)
	}
	see(stored(2, 11, 12))
	see(stored(2, 11, 12)) // nothing new
	see(stored(3, 11, 12, 13))
	see(stored(9, 18, 19))
	see(document{{Key: "_id", Value: "x"}, {Key: "recipe", Value: "foreign"}})
	see(stored(9, 18, 19)) // put back: the same document
	see(nil)
	see(stored(1, 20))
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	h, err := history.Read(path)
	if err != nil {
		t.Fatal(err)
	}
	want := []history.Look{
		{Exists: true, Seq: 2, Events: make([]history.Event, 2)},
		{Exists: true, Seq: 3, Events: make([]history.Event, 1)},
		{Exists: true, Seq: 9, Events: make([]history.Event, 2), Gap: 4},
		{},
		{Exists: true, Seq: 9},
		{},
		{Exists: true, Seq: 1, Events: make([]history.Event, 1), Anew: true},
	}
	if len(h.Looks) != len(want) {
		t.Fatalf("%d looks, want %d: %+v", len(h.Looks), len(want), h.Looks)
	}
	for i, w := range want {
		got := h.Looks[i]
		if got.Exists != w.Exists || got.Seq != w.Seq || len(got.Events) != len(w.Events) || got.Gap != w.Gap || got.Anew != w.Anew {
			t.Errorf("look %d is %+v, want %+v", i, got, w)
		}
	}
}
