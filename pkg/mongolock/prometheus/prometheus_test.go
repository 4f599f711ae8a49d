/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package prometheus

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"github.com/mongolock/operator/hack/servers/servertest"
	"github.com/mongolock/operator/pkg/mongolock"
)

func TestMain(m *testing.M) { servertest.Run(m, servertest.MongoDB) }

func newMetrics(t *testing.T) (*Metrics, *prometheus.Registry) {
	t.Helper()
	registry := prometheus.NewPedanticRegistry()
	m, err := New(registry)
	if err != nil {
		t.Fatal(err)
	}
	return m, registry
}

// values are the metrics' numbers: of a histogram its count, of the others their value, by name and outcome.
func values(t *testing.T, registry *prometheus.Registry) map[string]float64 {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]float64{}
	for _, family := range families {
		for _, metric := range family.GetMetric() {
			name := strings.TrimPrefix(family.GetName(), "mongolock_")
			for _, label := range metric.GetLabel() {
				name += " " + label.GetName() + "=" + label.GetValue()
			}
			all[name] = metric.GetCounter().GetValue() + metric.GetGauge().GetValue() + float64(metric.GetHistogram().GetSampleCount())
		}
	}
	return all
}

func check(t *testing.T, got, want map[string]float64) {
	t.Helper()
	for name, value := range want {
		if found, ok := got[name]; !ok || found != value {
			t.Errorf("%s is %v (present: %v), want %v", name, found, ok, value)
		}
	}
}

// The names, help texts and units are as Prometheus wants them, and every series is there from the start.
func TestNames(t *testing.T) {
	_, registry := newMetrics(t)
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	problems, err := promlint.NewWithMetricFamilies(families).Lint()
	if err != nil || len(problems) > 0 {
		t.Errorf("%v, %v", problems, err)
	}
	got := values(t, registry)
	want := map[string]float64{
		"acquire_duration_seconds outcome=granted": 0, "acquire_duration_seconds outcome=refused": 0,
		"acquire_duration_seconds outcome=failed": 0, "wait_duration_seconds": 0, "waiting_calls": 0,
		"hold_duration_seconds": 0, "leases_lost_total": 0, "renew_duration_seconds outcome=renewed": 0,
		"renew_duration_seconds outcome=failed": 0, "leases_renewed_total": 0, "watch_lag_seconds": 0,
	}
	if check(t, got, want); len(got) != len(want) {
		t.Errorf("%d series, want %d: %v", len(got), len(want), got)
	}
	for _, buckets := range [][]float64{callBuckets, holdBuckets, renewBuckets, lagBuckets} {
		if !slices.IsSorted(buckets) {
			t.Errorf("buckets %v are not in order", buckets)
		}
	}
}

func TestWhatIsToldIsCounted(t *testing.T) {
	m, registry := newMetrics(t)
	m.Acquired("x", mongolock.OutcomeGranted, 3*time.Millisecond)
	m.Acquired("x", mongolock.OutcomeRefused, time.Second)
	m.Acquired("y", mongolock.OutcomeRefused, time.Second)
	m.Acquired("x", mongolock.OutcomeFailed, time.Second)
	m.Waited("x", time.Minute)
	m.Held("x", time.Hour, false)
	m.Held("x", time.Hour, true)
	m.Renewed(7, time.Millisecond, false)
	m.Renewed(5, time.Millisecond, true)
	m.Waiting(1)
	m.Waiting(1)
	m.Waiting(-1)
	m.FeedLag(time.Millisecond)
	check(t, values(t, registry), map[string]float64{
		"acquire_duration_seconds outcome=granted": 1, "acquire_duration_seconds outcome=refused": 2,
		"acquire_duration_seconds outcome=failed": 1, "wait_duration_seconds": 1, "waiting_calls": 1,
		"hold_duration_seconds": 2, "leases_lost_total": 1, "renew_duration_seconds outcome=renewed": 1,
		"renew_duration_seconds outcome=failed": 1, "leases_renewed_total": 7, "watch_lag_seconds": 1,
	})
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		if histogram := family.GetMetric()[0].GetHistogram(); strings.Contains(family.GetName(), "_wait_") && histogram.GetSampleSum() != 60 {
			t.Errorf("a wait of a minute is told as %v, want 60 s", histogram.GetSampleSum())
		}
	}
}

// A clash registers nothing and says what to do.
func TestRegistration(t *testing.T) {
	if _, err := New(nil); err == nil {
		t.Error("no error of a nil registerer")
	}
	_, registry := newMetrics(t)
	_, err := New(registry)
	var already prometheus.AlreadyRegisteredError
	if !errors.As(err, &already) {
		t.Errorf("second New: %v, want an AlreadyRegisteredError", err)
	}
	taken := prometheus.NewPedanticRegistry()
	taken.MustRegister(prometheus.NewGauge(prometheus.GaugeOpts{Name: "mongolock_leases_lost_total", Help: "Another's."}))
	if _, err := New(taken); err == nil {
		t.Error("no error of a clash")
	}
	if left := values(t, taken); len(left) != 1 {
		t.Errorf("after a clash there are %v, want the one that was there", left)
	}
}

// A client on the real server: a grant, a refusal, a wait, a loss, renewals, a change that is watched.
func TestClient(t *testing.T) {
	m, registry := newMetrics(t)
	c, err := mongolock.Connect(t.Context(), servertest.MongoDBURI(), mongolock.WithDatabase(servertest.Database(t)),
		mongolock.WithMetrics(m), mongolock.WithLease(time.Second))
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := c.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}()
	watcher, err := c.Watch(t.Context(), "x")
	if err != nil {
		t.Fatal(err)
	}
	defer watcher.Close()
	first, err := c.TryLock(t.Context(), "x")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.TryLock(t.Context(), "x"); !errors.Is(err, mongolock.ErrHeld) {
		t.Fatal(err)
	}
	type locked struct {
		lease *mongolock.Lease
		err   error
	}
	second := make(chan locked)
	go func() {
		lease, err := c.Lock(t.Context(), "x", mongolock.WithAutoRenew(false))
		second <- locked{lease, err}
	}()
	waitFor(t, func() bool { return values(t, registry)["waiting_calls"] == 1 })
	waitFor(t, func() bool { return values(t, registry)["leases_renewed_total"] > 0 })
	if err := first.Unlock(t.Context()); err != nil {
		t.Fatal(err)
	}
	got := <-second
	if got.err != nil {
		t.Fatal(got.err)
	}
	<-got.lease.Done() // lost, as nobody renews it
	waitFor(t, func() bool { return values(t, registry)["watch_lag_seconds"] > 0 })
	waitFor(t, func() bool { return values(t, registry)["leases_lost_total"] > 0 })
	check(t, values(t, registry), map[string]float64{
		"acquire_duration_seconds outcome=granted": 2, "acquire_duration_seconds outcome=refused": 1,
		"acquire_duration_seconds outcome=failed": 0, "wait_duration_seconds": 1, "waiting_calls": 0,
		"hold_duration_seconds": 2, "leases_lost_total": 1, "renew_duration_seconds outcome=failed": 0,
	})
}

func waitFor(t *testing.T, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("not within 10 s")
		}
	}
}
