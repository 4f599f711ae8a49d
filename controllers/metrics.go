/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package controllers

import (
	"github.com/prometheus/client_golang/prometheus"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/mongolock/operator/api/v1alpha1"
	"github.com/mongolock/operator/pkg/mongolock"
)

// The metrics have no label with a lock, an owner or an object: those are many, and not everybody who reads metrics may see them.
var (
	storeUp = prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "mongolock_store_up",
		Help: "1 while the feed of locks from MongoDB works, 0 otherwise.",
	})
	transitions = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "mongolock_transitions_total",
		Help: "Transitions of locks seen in the feed, by type (acquired, released, expired, evicted, other).",
	}, []string{"type"})
	missed = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "mongolock_transitions_missed_total",
		Help: "Transitions of locks that happened faster than the feed could read them; the status is right all the same.",
	})
	eventsDropped = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "mongolock_events_dropped_total",
		Help: "Kubernetes events that were left out because there were too many; the status is right all the same.",
	})
	feedLag = prometheus.NewHistogram(prometheus.HistogramOpts{
		Name:    "mongolock_feed_lag_seconds",
		Help:    "Time from a transition to its being read from the feed, by the database server's clock.",
		Buckets: []float64{.05, .1, .25, .5, .75, 1, 2, 5, 10, 30},
	})
	statusWrites = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "mongolock_status_writes_total",
		Help: "Writes of the status of DistributedLocks, by cause (mirror, store_failed, store_recovered).",
	}, []string{"cause"})
)

func init() {
	metrics.Registry.MustRegister(storeUp, transitions, missed, eventsDropped, feedLag, statusWrites)
}

func countTransitions(change mongolock.Change) {
	for _, e := range change.Events {
		transitions.WithLabelValues(typeLabel(e.Type)).Inc()
	}
	if change.Missed > 0 {
		missed.Add(float64(change.Missed))
	}
	if len(change.Events) > 0 {
		feedLag.Observe(change.State.ReadAt.Sub(lastTransition(change.State)).Seconds())
	}
}

// typeLabel bounds the values of the label: a document edited by hand may have any type.
func typeLabel(t mongolock.EventType) string {
	switch t {
	case mongolock.EventAcquired, mongolock.EventReleased, mongolock.EventExpired, mongolock.EventEvicted:
		return string(t)
	}
	return "other"
}

func countHealth(h Health) {
	if h.Phase == Healthy {
		storeUp.Set(1)
		return
	}
	storeUp.Set(0)
}

func countWrite(before, after *v1alpha1.DistributedLock) {
	cause := "mirror"
	switch was, is := readyReason(before), readyReason(after); {
	case isStoreReason(is):
		cause = "store_failed"
	case isStoreReason(was):
		cause = "store_recovered"
	}
	statusWrites.WithLabelValues(cause).Inc()
}
