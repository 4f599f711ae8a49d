/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package main

import (
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/mongolock/operator/hack/servers/servertest"
)

// testExampleOperator runs two replicas of docs/example-operator beside the operator: leadership is seen in a DistributedLock and in events,
// and goes from one to the other when the first is stopped.
func (c *cluster) testExampleOperator(t *testing.T) {
	const name = "example-operator"
	database := servertest.Database(t)
	environment := []string{"MONGODB_URI=" + servertest.MongoDBURI(), "MONGODB_DATABASE=" + database}
	c.start(t, environment, "--mongodb-database="+database)

	binary := filepath.Join(t.TempDir(), name)
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", binary, "./docs/"+name).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if out, err := runKubectl(t.Context(), exampleObjects, "apply", "--server-side", "-f", "-"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	defer kubectl(t, "delete", "-n", "default", "dlock/"+name, "configmap/"+name)
	environment = append(environment, "KUBECONFIG="+servertest.Kubeconfig())
	first := start(t, exec.Command(binary), environment)
	stamped := func(than int64) (token int64) {
		t.Helper()
		await(t, "the ConfigMap is stamped by a leader with a larger token", func() bool {
			text := kubectl(t, "get", "configmap", name, "-n", "default", "-o", "jsonpath={.metadata.annotations.token}")
			token, _ = strconv.ParseInt(text, 10, 64)
			return token > than
		})
		return token
	}
	token := stamped(0)
	second := start(t, exec.Command(binary), environment)
	waitFor(t, "default", name, "Held")
	leader := func() string {
		return kubectl(t, "get", "dlock", name, "-n", "default", "-o", "jsonpath={.status.fencingToken} {.status.holder}")
	}
	await(t, "the DistributedLock shows the leader", func() bool { return strings.HasPrefix(leader(), strconv.FormatInt(token, 10)+" ") })
	before := leader()

	first.stop(t, 0)
	next := stamped(token)
	await(t, "the DistributedLock shows the next leader", func() bool { return strings.HasPrefix(leader(), strconv.FormatInt(next, 10)+" ") })
	if leader() == before {
		t.Errorf("the leader is still %q", before)
	}
	await(t, "both elections are events", func() bool {
		events := kubectl(t, "get", "events", "-n", "default", "--field-selector=reason=LeaderElection,involvedObject.name="+name)
		return strings.Count(events, "became leader") == 2
	})
	second.stop(t, 0)
}

const exampleObjects = `
apiVersion: v1
kind: ConfigMap
metadata: {name: example-operator, namespace: default, labels: {example: ""}}
---
apiVersion: locks.mongolock.dev/v1alpha1
kind: DistributedLock
metadata: {name: example-operator, namespace: default}
`
