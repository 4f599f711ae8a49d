//go:build linux

/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/mongolock/operator/hack/torture/check"
	"github.com/mongolock/operator/hack/torture/history"
)

// around is how much of the history before and after a violation's window is shown with it.
const around = 200 * time.Millisecond

// window is what happened in the time of a violation.
type window struct {
	from, to history.Stamp
	lines    []line
}

type line struct {
	at   history.Stamp
	what history.Record
}

func (w *window) add(begin, end history.Stamp, what history.Record) {
	if begin <= w.to && (end == 0 || end >= w.from) {
		w.lines = append(w.lines, line{begin, what})
	}
}

// writeWindow writes what happened to a lock, and the faults, in the time of a violation: a line for each record, in order of time.
func writeWindow(h *history.History, v check.Violation, path string) error {
	w := &window{from: v.From.Add(-around), to: v.To.Add(around)}
	w.addCalls(h, v.Lock)
	w.addSights(h, v.Lock)
	for i, f := range h.Faults {
		w.add(f.From, f.Until, history.Record{Fault: &h.Faults[i]})
	}
	slices.SortStableFunc(w.lines, func(a, b line) int { return cmp.Compare(a.at, b.at) })
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	fmt.Fprintf(file, "%s %s: %s\n", v.Check, v.Lock, v.Text)
	for _, l := range w.lines {
		text, err := json.Marshal(l.what)
		if err != nil {
			return errors.Join(err, file.Close())
		}
		fmt.Fprintf(file, "%10.3f ms  %s\n", float64(l.at.Sub(v.From))/1e6, text)
	}
	return file.Close()
}

// addCalls adds what the workers did with a lock and believed of it.
func (w *window) addCalls(h *history.History, lock string) {
	grants := map[string]bool{}
	for i, op := range h.Operations {
		if op.Lock == lock {
			grants[op.ID] = true
			w.add(op.Call, op.Return, history.Record{Operation: &h.Operations[i]})
		}
	}
	for i, b := range h.Beliefs {
		if grants[b.Grant] {
			w.add(b.At, b.At, history.Record{Belief: &h.Beliefs[i]})
		}
	}
}

// addSights adds what was seen of a lock: by the auditor, by watchers, by the resource.
func (w *window) addSights(h *history.History, lock string) {
	for i, l := range h.Looks {
		if l.Lock == lock {
			w.add(l.From, l.To, history.Record{Look: &h.Looks[i]})
		}
	}
	for i, c := range h.Changes {
		if c.Lock == lock {
			w.add(c.At, c.At, history.Record{Change: &h.Changes[i]})
		}
	}
	for i, a := range h.Accepted {
		if a.Lock == lock {
			w.add(a.At, a.At, history.Record{Accepted: &h.Accepted[i]})
		}
	}
}
