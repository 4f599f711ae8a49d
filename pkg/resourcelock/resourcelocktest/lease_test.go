/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package resourcelocktest_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	rl "k8s.io/client-go/tools/leaderelection/resourcelock"

	"github.com/mongolock/operator/hack/servers/servertest"
	"github.com/mongolock/operator/pkg/resourcelock/resourcelocktest"
)

var leases atomic.Int64

// leaseBackend is an election by a Lease object.
func leaseBackend(t testing.TB) resourcelocktest.Backend {
	name := fmt.Sprintf("kit-%d", leases.Add(1))
	client, _ := kubernetesClient(t)
	admin := client.CoordinationV1().Leases(namespace)
	return resourcelocktest.Backend{
		Timings: timings,
		New: func(t testing.TB, identity string, _ time.Duration) resourcelocktest.Candidate {
			client, connection := kubernetesClient(t)
			lock := &rl.LeaseLock{
				LeaseMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
				Client:    client.CoordinationV1(), LockConfig: rl.ResourceLockConfig{Identity: identity},
			}
			return resourcelocktest.Candidate{Lock: lock, Connection: connection}
		},
		Delete: func(t testing.TB) {
			if err := admin.Delete(t.Context(), name, metav1.DeleteOptions{}); err != nil {
				t.Error(err)
			}
		},
		Seize: func(t testing.TB, by rl.Interface) {
			seize(t, by, timings.LeaseDuration, func(ctx context.Context) error {
				nobody := []byte(`{"spec":{"holderIdentity":null}}`)
				_, err := admin.Patch(ctx, name, types.MergePatchType, nobody, metav1.PatchOptions{})
				return err
			})
		},
	}
}

func kubernetesClient(t testing.TB) (*kubernetes.Clientset, *leaseConnection) {
	config, err := clientcmd.BuildConfigFromFlags("", servertest.Kubeconfig())
	if err != nil {
		t.Fatal(err)
	}
	config.QPS = -1 // the limit of the client would be measured
	connection := &leaseConnection{}
	config.Wrap(func(base http.RoundTripper) http.RoundTripper {
		connection.base = base
		return connection
	})
	connections, err := rest.HTTPClientFor(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { utilnet.CloseIdleConnectionsFor(connection.base) })
	client, err := kubernetes.NewForConfigAndClient(config, connections)
	if err != nil {
		t.Fatal(err)
	}
	return client, connection
}

// leaseConnection breaks requests on their way.
type leaseConnection struct {
	line
	base http.RoundTripper
}

// RoundTrip implements [http.RoundTripper].
func (c *leaseConnection) RoundTrip(request *http.Request) (*http.Response, error) {
	writes := request.Method != http.MethodGet && strings.Contains(request.URL.Path, "/leases")
	var response *http.Response
	err := c.carry(request.Context(), writes, func() (err error) {
		response, err = c.base.RoundTrip(request) //nolint:bodyclose // it is returned, or closed below
		return err
	})
	if err != nil && response != nil {
		return nil, errors.Join(err, response.Body.Close())
	}
	return response, err
}
