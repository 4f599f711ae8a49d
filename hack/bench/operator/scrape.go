//go:build linux

/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package main

import (
	"context"
	"fmt"
	"net/http"
	"slices"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/mongolock/operator/api/v1alpha1"
)

// metrics is a page of metrics.
type metrics map[string]*dto.MetricFamily

func scrape(ctx context.Context, client *http.Client, url string) (metrics, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return nil, err
	}
	response, err := client.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close() //nolint:errcheck // read only
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("metrics: %s", response.Status)
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	return parser.TextToMetricFamilies(response.Body)
}

// label is a condition on the value of a label: one of these.
type label struct {
	name   string
	values []string
}

// sum adds up the series of a counter or gauge that meet all conditions.
func (m metrics) sum(name string, conditions ...label) (total float64) {
	family := m[name]
	for _, series := range family.GetMetric() {
		if !slices.ContainsFunc(conditions, func(c label) bool { return !slices.Contains(c.values, valueOf(series, c.name)) }) {
			total += series.GetCounter().GetValue() + series.GetGauge().GetValue() + series.GetUntyped().GetValue()
		}
	}
	return total
}

func valueOf(series *dto.Metric, name string) string {
	for _, l := range series.GetLabel() {
		if l.GetName() == name {
			return l.GetValue()
		}
	}
	return ""
}

// writeVerbs are all with which the API server counts writes, and writeMethods are all with which a client does.
var (
	writeVerbs   = label{"verb", []string{"POST", "PUT", "PATCH", "APPLY", "DELETE", "DELETECOLLECTION"}}
	writeMethods = label{"method", []string{"POST", "PUT", "PATCH", "DELETE"}}
)

// writes are requests that the API server counted, whatever came of them, so that a refused one counts too. Nobody but the operator makes
// those while the benchmark creates no objects.
type writes struct {
	Status  float64 `json:"status_writes"`
	Objects float64 `json:"object_writes"`
	Events  float64 `json:"event_writes"`
}

func writesOf(m metrics) writes {
	count := func(group, resource, subresource string) float64 {
		return m.sum("apiserver_request_total", writeVerbs, label{"group", []string{group}}, label{"resource", []string{resource}},
			label{"subresource", []string{subresource}})
	}
	const locks = "distributedlocks"
	return writes{
		Status:  count(v1alpha1.GroupVersion.Group, locks, "status"),
		Objects: count(v1alpha1.GroupVersion.Group, locks, ""),
		Events:  count("events.k8s.io", "events", "") + count("", "events", ""),
	}
}

func (w writes) since(before writes) writes {
	return writes{w.Status - before.Status, w.Objects - before.Objects, w.Events - before.Events}
}

func (w writes) all() float64 { return w.Status + w.Objects + w.Events }

// own is what the operator counts itself.
type own struct {
	Writes     float64 // requests of any kind that write, as it has sent them
	Reconciles float64
	Queue      float64 // that wait for a reconcile now
}

func ownOf(m metrics) own {
	return own{
		m.sum("rest_client_requests_total", writeMethods), m.sum("controller_runtime_reconcile_total"), m.sum("workqueue_depth"),
	}
}
