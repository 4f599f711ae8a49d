/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

// Package prometheus gives the metrics of mongolock clients to Prometheus:
//
//	metrics, err := lockmetrics.New(prometheus.DefaultRegisterer)
//	if err != nil {
//		return err
//	}
//	client, err := mongolock.Connect(ctx, uri, mongolock.WithMetrics(metrics))
//
// No metric has a label with a lock or an owner: those are many, and not everybody who reads metrics may see them. All times are in
// seconds.
//
//   - mongolock_acquire_duration_seconds{outcome}, a histogram: the calls of TryLock and Lock, waiting included, by outcome: granted,
//     refused, failed. See [mongolock.Outcome].
//   - mongolock_wait_duration_seconds, a histogram: the calls of Lock that found the lock taken. Their number divided by that of the
//     acquire durations is the contention, as is the share of those with outcome refused.
//   - mongolock_waiting_calls, a gauge: the calls of Lock that wait.
//   - mongolock_hold_duration_seconds, a histogram: how long leases were held, when they ended.
//   - mongolock_leases_lost_total, a counter: the leases that ended without being given back.
//   - mongolock_renew_duration_seconds{outcome}, a histogram: the commands that renew leases, by outcome: renewed, failed.
//   - mongolock_leases_renewed_total, a counter: the leases in the commands that did not fail, up to 500 in each.
//   - mongolock_watch_lag_seconds, a histogram: the age of the changes that watchers saw, by the server's clock.
//
// How many leases are held now is mongolock_acquire_duration_seconds_count{outcome="granted"} less mongolock_hold_duration_seconds_count.
package prometheus

import (
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/mongolock/operator/pkg/mongolock"
)

// The outcomes of a renewal, as values of the label.
const (
	renewed = "renewed"
	failed  = "failed"
)

var (
	// callBuckets are for calls that may take one round trip, or wait for people: from a local server to the patience of a client.
	callBuckets = []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 15, 30, 60, 300, 900}
	// holdBuckets are for what is done under a lock: from a look at a row to a leader's term. 15 s is the lease by default, so what
	// is held for less is never renewed more than twice.
	holdBuckets = []float64{.005, .025, .1, .5, 1, 5, 15, 60, 300, 900, 3600, 4 * 3600, 24 * 3600}
	// renewBuckets end at 5 s, where a command is given up.
	renewBuckets = []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5}
	// lagBuckets tell a feed that is pushed, some tens of milliseconds, from one that looks twice a second, and both from a late one.
	lagBuckets = []float64{.005, .01, .025, .05, .1, .25, .5, .75, 1, 2, 5, 10, 30}
)

// Metrics counts and times what clients do. It implements [mongolock.Metrics]; several clients may share one.
type Metrics struct {
	acquire, renew  *prometheus.HistogramVec // by outcome
	wait, hold, lag prometheus.Histogram
	lost, leases    prometheus.Counter
	calls           prometheus.Gauge
}

var _ mongolock.Metrics = (*Metrics)(nil)

// New makes metrics and registers them, all or none. Its error is that of the registerer; of a second call with the same registerer it
// matches [prometheus.AlreadyRegisteredError]: clients of one process are to share the first call's metrics.
func New(registerer prometheus.Registerer) (*Metrics, error) {
	if registerer == nil {
		return nil, errors.New("mongolock metrics: the registerer is nil; prometheus.DefaultRegisterer is the usual one")
	}
	m := &Metrics{
		acquire: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "mongolock_acquire_duration_seconds", Buckets: callBuckets,
			Help: "Duration of calls of TryLock and Lock, waiting included, by outcome (granted, refused, failed).",
		}, []string{"outcome"}),
		wait: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "mongolock_wait_duration_seconds", Buckets: callBuckets,
			Help: "How long calls of Lock that found the lock taken had to wait.",
		}),
		calls: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "mongolock_waiting_calls",
			Help: "Calls of Lock that wait.",
		}),
		hold: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "mongolock_hold_duration_seconds", Buckets: holdBuckets,
			Help: "How long leases were held, from before the request to their end.",
		}),
		lost: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "mongolock_leases_lost_total",
			Help: "Leases that ended without being given back.",
		}),
		renew: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "mongolock_renew_duration_seconds", Buckets: renewBuckets,
			Help: "Duration of commands that renew leases, by outcome (renewed, failed).",
		}, []string{"outcome"}),
		leases: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "mongolock_leases_renewed_total",
			Help: "Leases in the renewal commands that did not fail.",
		}),
		lag: prometheus.NewHistogram(prometheus.HistogramOpts{ // the operator has a mongolock_feed_lag_seconds of its own
			Name: "mongolock_watch_lag_seconds", Buckets: lagBuckets,
			Help: "Time from a change of a lock to its being read for watchers, by the database server's clock.",
		}),
	}
	// From the first scrape on, so that a rate over them is 0 and not nothing.
	for _, o := range []mongolock.Outcome{mongolock.OutcomeGranted, mongolock.OutcomeRefused, mongolock.OutcomeFailed} {
		m.acquire.WithLabelValues(string(o))
	}
	for _, o := range []string{renewed, failed} {
		m.renew.WithLabelValues(o)
	}
	all := collectors{m.acquire, m.wait, m.calls, m.hold, m.lost, m.renew, m.leases, m.lag}
	if err := registerer.Register(all); err != nil {
		return nil, fmt.Errorf("register the metrics of mongolock: %w", err)
	}
	return m, nil
}

// Acquired implements [mongolock.Metrics].
func (m *Metrics) Acquired(_ string, outcome mongolock.Outcome, took time.Duration) {
	m.acquire.WithLabelValues(string(outcome)).Observe(took.Seconds())
}

// Waited implements [mongolock.Metrics].
func (m *Metrics) Waited(_ string, took time.Duration) { m.wait.Observe(took.Seconds()) }

// Held implements [mongolock.Metrics].
func (m *Metrics) Held(_ string, took time.Duration, lost bool) {
	m.hold.Observe(took.Seconds())
	if lost {
		m.lost.Inc()
	}
}

// Renewed implements [mongolock.Metrics].
func (m *Metrics) Renewed(leases int, took time.Duration, hasFailed bool) {
	if hasFailed {
		m.renew.WithLabelValues(failed).Observe(took.Seconds())
		return
	}
	m.renew.WithLabelValues(renewed).Observe(took.Seconds())
	m.leases.Add(float64(leases))
}

// Waiting implements [mongolock.Metrics].
func (m *Metrics) Waiting(delta int) { m.calls.Add(float64(delta)) }

// FeedLag implements [mongolock.Metrics].
func (m *Metrics) FeedLag(lag time.Duration) { m.lag.Observe(lag.Seconds()) }

// collectors are registered as one, so that a clash with one of them registers none.
type collectors []prometheus.Collector

// Describe implements [prometheus.Collector].
func (c collectors) Describe(descs chan<- *prometheus.Desc) {
	for _, collector := range c {
		collector.Describe(descs)
	}
}

// Collect implements [prometheus.Collector].
func (c collectors) Collect(metrics chan<- prometheus.Metric) {
	for _, collector := range c {
		collector.Collect(metrics)
	}
}
