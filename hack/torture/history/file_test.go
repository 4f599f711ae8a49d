//go:build linux

/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package history

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestReadPutsTogetherWhatWasWritten: calls and returns are joined, and what a killed worker left half written is a call that did not return.
func TestReadPutsTogetherWhatWasWritten(t *testing.T) {
	dir := t.TempDir()
	first, second := filepath.Join(dir, "first"), filepath.Join(dir, "second")
	w, err := Create(first)
	if err != nil {
		t.Fatal(err)
	}
	late := Operation{ID: "late", Kind: Try, Call: 20}
	w.Write(Record{Operation: &late})
	late.Return, late.Outcome, late.Token = 30, OK, 7
	w.Write(Record{Operation: &late})
	w.Write(Record{Operation: &Operation{ID: "killed", Kind: Unlock, Call: 25}})
	w.Write(Record{Span: &Span{Begin: 1, End: 99}})
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	text := `{"belief":{"grant":"late","at":22,"held":true,"deadline":50}}
{"op":{"id":"early","kind":"get","call":10,"return":11,"outcome":"ok"}}
{"op":{"id":"killed","kind":"unl`
	if err := os.WriteFile(second, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	h, err := Read(first, second)
	if err != nil {
		t.Fatal(err)
	}
	if len(h.Operations) != 3 || h.Operations[0].ID != "early" || h.Operations[1].Token != 7 || h.Operations[1].Return != 30 {
		t.Errorf("operations %+v", h.Operations)
	}
	if killed := h.Operations[2]; killed.Outcome != Unknown || killed.Return != 0 {
		t.Errorf("a call that never returned is %+v", killed)
	}
	if len(h.Beliefs) != 1 || h.Begin != 1 || h.End != 99 {
		t.Errorf("history %+v", h)
	}
	if _, err := Create(first); err == nil {
		t.Error("a history was overwritten")
	}
}

func TestClock(t *testing.T) {
	before := Now()
	hence := time.Now().Add(time.Hour)
	after := Now()
	stamp := At(hence)
	if early := before.Add(time.Hour).Sub(stamp); early >= time.Millisecond {
		t.Errorf("an hour from now is stamped %s early", early)
	}
	if late := stamp.Sub(after.Add(time.Hour)); late > 0 {
		t.Errorf("an hour from now is stamped %s late", late)
	}
	if At(time.Time{}) != 0 {
		t.Error("the zero time is not never")
	}
}
