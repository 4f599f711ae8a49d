//go:build linux

/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package history

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"sync"
)

// Record is a line of a file: one of its fields is set. An operation is written twice, when it is called and when it returns.
type Record struct {
	Operation *Operation `json:"op,omitempty"`
	Belief    *Belief    `json:"belief,omitempty"`
	Told      *Told      `json:"told,omitempty"`
	Watch     *Watch     `json:"watch,omitempty"`
	Change    *Change    `json:"change,omitempty"`
	Fault     *Fault     `json:"fault,omitempty"`
	Process   *Process   `json:"process,omitempty"`
	Accepted  *Accepted  `json:"accepted,omitempty"`
	Look      *Look      `json:"look,omitempty"`
	Exit      *Exit      `json:"exit,omitempty"`
	Leftover  *Leftover  `json:"leftover,omitempty"`
	Span      *Span      `json:"span,omitempty"`
}

// Span is the time of the load.
type Span struct {
	Begin Stamp `json:"begin"`
	End   Stamp `json:"end"`
}

// Writer appends records to a file. Each is handed to the kernel before Write returns, so that it outlives a kill -9 of the process.
type Writer struct {
	mu   sync.Mutex
	file *os.File
	err  error // of the first write that failed
}

// Create makes a file to write to; one that exists is an error.
func Create(path string) (*Writer, error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return nil, err
	}
	return &Writer{file: file}, nil
}

// Write appends a record. What fails is told by Close.
func (w *Writer) Write(r Record) {
	line, err := json.Marshal(r)
	w.mu.Lock()
	defer w.mu.Unlock()
	if err == nil {
		_, err = w.file.Write(append(line, '\n'))
	}
	if w.err == nil {
		w.err = err
	}
}

// Close closes the file and returns the first error of writing it.
func (w *Writer) Close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return errors.Join(w.err, w.file.Close())
}

// Read reads files and puts their records in order.
func Read(paths ...string) (*History, error) {
	h := &History{}
	operations := map[string]int{}
	for _, path := range paths {
		if err := h.readFile(path, operations); err != nil {
			return nil, err
		}
	}
	h.sort()
	return h, nil
}

func (h *History) readFile(path string, operations map[string]int) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close() //nolint:errcheck // it was only read
	lines := bufio.NewReaderSize(file, 64<<10)
	for n := 1; ; n++ {
		line, err := lines.ReadBytes('\n')
		if err == io.EOF {
			return nil // a line without an end was cut short by a kill: the call it tells of has not returned
		}
		if err != nil {
			return err
		}
		var r Record
		if err := json.Unmarshal(bytes.TrimSpace(line), &r); err != nil {
			return fmt.Errorf("%s, line %d: %w", path, n, err)
		}
		h.add(r, operations)
	}
}

func (h *History) add(r Record, operations map[string]int) {
	switch {
	case r.Operation != nil:
		if i, called := operations[r.Operation.ID]; called {
			h.Operations[i] = *r.Operation
			return
		}
		operations[r.Operation.ID] = len(h.Operations)
		h.Operations = append(h.Operations, *r.Operation)
	case r.Belief != nil:
		h.Beliefs = append(h.Beliefs, *r.Belief)
	case r.Told != nil:
		h.Told = append(h.Told, *r.Told)
	case r.Watch != nil:
		h.Watches = append(h.Watches, *r.Watch)
	case r.Change != nil:
		h.Changes = append(h.Changes, *r.Change)
	case r.Fault != nil:
		h.Faults = append(h.Faults, *r.Fault)
	case r.Process != nil:
		h.Processes = append(h.Processes, *r.Process)
	case r.Accepted != nil:
		h.Accepted = append(h.Accepted, *r.Accepted)
	case r.Look != nil:
		h.Looks = append(h.Looks, *r.Look)
	case r.Exit != nil:
		h.Exits = append(h.Exits, *r.Exit)
	case r.Leftover != nil:
		h.Leftovers = append(h.Leftovers, *r.Leftover)
	case r.Span != nil:
		h.Begin, h.End = r.Span.Begin, r.Span.End
	}
}

func (h *History) sort() {
	for i := range h.Operations {
		if h.Operations[i].Return == 0 { // killed in the call
			h.Operations[i].Outcome = Unknown
		}
	}
	slices.SortStableFunc(h.Operations, func(a, b Operation) int { return cmp.Compare(a.Call, b.Call) })
	slices.SortStableFunc(h.Beliefs, func(a, b Belief) int { return cmp.Compare(a.At, b.At) })
	slices.SortStableFunc(h.Faults, func(a, b Fault) int { return cmp.Compare(a.From, b.From) })
}
