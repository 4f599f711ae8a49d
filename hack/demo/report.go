//go:build linux

/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
)

// The things that workers report.
const (
	waits    = "waits"
	acquired = "acquired"
	released = "released"
	lost     = "lost"
	troubled = "troubled"
)

// report is one line of a worker.
type report struct {
	Worker string `json:"worker"`
	What   string `json:"what"`
	Lock   string `json:"lock"`
	Token  int64  `json:"token,omitempty"`
	At     stamp  `json:"at"`
	Note   string `json:"note,omitempty"`
}

// parseReport reads a line of a worker.
func parseReport(line string) (report, error) {
	var r report
	if err := json.Unmarshal([]byte(line), &r); err != nil {
		return report{}, fmt.Errorf("a worker's line is no report: %w: %.200q", err, line)
	}
	if r.Worker == "" || r.Lock == "" || r.At <= 0 {
		return report{}, fmt.Errorf("a worker's report lacks worker, lock or time: %.200q", line)
	}
	switch r.What {
	case acquired, released, lost:
		if r.Token <= 0 {
			return report{}, fmt.Errorf("a worker's report lacks the token: %.200q", line)
		}
	case waits, troubled:
	default:
		return report{}, fmt.Errorf("a worker's report is of an unknown kind: %.200q", line)
	}
	return r, nil
}

func (r report) String() string {
	switch r.What {
	case waits:
		return fmt.Sprintf("waits for %s: %s", r.Lock, r.Note)
	case acquired:
		return fmt.Sprintf("acquired %s with token %d", r.Lock, r.Token)
	case released:
		return fmt.Sprintf("releases %s", r.Lock)
	case lost:
		return fmt.Sprintf("LOST %s with token %d", r.Lock, r.Token)
	default:
		return fmt.Sprintf("could not get %s: %s", r.Lock, r.Note)
	}
}

// journal keeps all reports in the order in which they came.
type journal struct {
	mu      sync.Mutex
	reports []report
	grown   chan struct{} // closed and replaced by each report
}

func newJournal() *journal { return &journal{grown: make(chan struct{})} }

func (j *journal) add(r report) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.reports = append(j.reports, r)
	close(j.grown)
	j.grown = make(chan struct{})
}

// all returns the reports so far. They are not changed any more.
func (j *journal) all() []report {
	reports, _ := j.now()
	return reports
}

func (j *journal) now() ([]report, <-chan struct{}) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.reports[:len(j.reports):len(j.reports)], j.grown
}

// next waits for the first report that matches, beginning with the one that is number from.
func (j *journal) next(ctx context.Context, from int, match func(report) bool) (report, error) {
	for {
		reports, grown := j.now()
		for ; from < len(reports); from++ {
			if match(reports[from]) {
				return reports[from], nil
			}
		}
		select {
		case <-ctx.Done():
			return report{}, context.Cause(ctx)
		case <-grown:
		}
	}
}
