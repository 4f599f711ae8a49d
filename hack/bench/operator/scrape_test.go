//go:build linux

/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
)

// page is an excerpt of what a real API server and a real operator serve.
const page = `# TYPE apiserver_request_total counter
apiserver_request_total{code="200",component="apiserver",dry_run="",group="locks.mongolock.dev",resource="distributedlocks",scope="resource",subresource="status",verb="PATCH",version="v1alpha1"} 7
apiserver_request_total{code="409",component="apiserver",dry_run="",group="locks.mongolock.dev",resource="distributedlocks",scope="resource",subresource="status",verb="PATCH",version="v1alpha1"} 2
apiserver_request_total{code="200",component="apiserver",dry_run="",group="locks.mongolock.dev",resource="distributedlocks",scope="cluster",subresource="",verb="LIST",version="v1alpha1"} 5
apiserver_request_total{code="201",component="apiserver",dry_run="",group="locks.mongolock.dev",resource="distributedlocks",scope="resource",subresource="",verb="POST",version="v1alpha1"} 3
apiserver_request_total{code="201",component="apiserver",dry_run="",group="events.k8s.io",resource="events",scope="resource",subresource="",verb="POST",version="v1"} 4
apiserver_request_total{code="200",component="apiserver",dry_run="",group="coordination.k8s.io",resource="leases",scope="resource",subresource="",verb="PUT",version="v1"} 9
# TYPE rest_client_requests_total counter
rest_client_requests_total{code="200",host="127.0.0.1:1",method="PATCH"} 9
rest_client_requests_total{code="200",host="127.0.0.1:1",method="GET"} 20
# TYPE controller_runtime_reconcile_total counter
controller_runtime_reconcile_total{controller="distributedlock",result="success"} 11
controller_runtime_reconcile_total{controller="distributedlock",result="requeue_after"} 1
# TYPE workqueue_depth gauge
workqueue_depth{controller="distributedlock",name="distributedlock",priority="0"} 6
`

func TestScrape(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, page) }))
	defer server.Close()
	m, err := scrape(t.Context(), server.Client(), server.URL)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := writesOf(m), (writes{Status: 9, Objects: 3, Events: 4}); got != want {
		t.Errorf("the API server counts %+v, want %+v", got, want)
	}
	if got, want := ownOf(m), (own{9, 12, 6}); got != want {
		t.Errorf("the operator counts %+v, want %+v", got, want)
	}
	if got := m.sum("no_such_metric"); got != 0 {
		t.Errorf("a metric that is not there: %g, want 0", got)
	}
}
