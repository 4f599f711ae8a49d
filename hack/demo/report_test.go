//go:build linux

/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/mongolock/operator/pkg/mongolock"
)

func TestParseReport(t *testing.T) {
	var line bytes.Buffer
	w := &worker{name: "worker-1", out: json.NewEncoder(&line)}
	before := now()
	if err := w.tell(report{What: acquired, Lock: "demo/a", Token: 1 << 50}); err != nil {
		t.Fatal(err)
	}
	got, err := parseReport(line.String())
	if err != nil {
		t.Fatal(err)
	}
	if got.At < before || got.At > now() {
		t.Errorf("told at %d, not now", got.At)
	}
	got.At = 0
	if want := (report{Worker: "worker-1", What: acquired, Lock: "demo/a", Token: 1 << 50}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}

	for _, bad := range []string{
		``, `panic: oh`, `{}`,
		`{"worker":"w","what":"acquired","lock":"a","at":1}`,
		`{"worker":"w","what":"danced","lock":"a","at":1,"token":1}`,
		`{"worker":"w","what":"acquired","lock":"a","token":1}`,
		`{"what":"acquired","lock":"a","token":1,"at":1}`,
	} {
		if r, err := parseReport(bad); err == nil {
			t.Errorf("%s was taken for %+v", bad, r)
		}
	}
}

func TestJournalNext(t *testing.T) {
	j := newJournal()
	j.add(report{Token: 1})
	j.add(report{Token: 2})
	odd := func(r report) bool { return r.Token%2 == 1 }
	if r, err := j.next(t.Context(), 0, odd); err != nil || r.Token != 1 {
		t.Errorf("got %v, %v", r, err)
	}
	found := make(chan report)
	go func() {
		r, _ := j.next(t.Context(), 1, odd) // a failure is an empty report
		found <- r
	}()
	j.add(report{Token: 4})
	j.add(report{Token: 5})
	if r := <-found; r.Token != 5 {
		t.Errorf("got %v", r)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if _, err := j.next(ctx, 4, odd); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}

func TestObserverTakesEachEventOnce(t *testing.T) {
	o := newObserver(nil)
	state := func(events ...mongolock.Event) mongolock.State {
		return mongolock.State{ID: "a", Seq: events[len(events)-1].Seq, Events: events}
	}
	one, two, three := event(1, mongolock.EventAcquired, 1), event(2, mongolock.EventReleased, 1), event(3, mongolock.EventAcquired, 2)
	six := event(6, mongolock.EventReleased, 9)
	o.take(state(one))
	o.take(state(one))
	o.take(state(one, two, three))
	if p := o.picture(); len(p.history["a"]) != 3 || p.missed != 0 || p.states["a"].Seq != 3 {
		t.Errorf("got %+v", p)
	}
	o.take(state(six))
	if p := o.picture(); len(p.history["a"]) != 4 || p.missed != 2 {
		t.Errorf("two events were missed: %+v", p)
	}
}

func TestLeadsByMetrics(t *testing.T) {
	const other = "# TYPE leader_election_master_status gauge\nworkqueue_depth{name=\"x\"} 1\n"
	for text, want := range map[string]bool{
		other: false,
		other + "leader_election_master_status{name=\"demo/operator\"} 1\n": true,
		other + "leader_election_master_status{name=\"demo/operator\"} 0\n": false,
	} {
		if got, err := leadsByMetrics(strings.NewReader(text)); err != nil || got != want {
			t.Errorf("%q: %t, %v; want %t", text, got, err, want)
		}
	}
	if _, err := leadsByMetrics(strings.NewReader("leader_election_master_status{name=\"a\"} yes\n")); err == nil {
		t.Error("a value that is no number was taken")
	}
}
