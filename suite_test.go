/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package main

import (
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mongolock/operator/hack/servers"
	"github.com/mongolock/operator/hack/servers/servertest"
	"github.com/mongolock/operator/pkg/mongolock"
)

func await(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(soon); !holds(); time.Sleep(tick) {
		if time.Now().After(deadline) {
			t.Fatalf("not within %s: %s", soon, what)
		}
	}
}

func runKubectl(ctx context.Context, stdin string, args ...string) (string, error) {
	path, err := servers.Kubectl()
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(ctx, 5*soon)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, append([]string{"--kubeconfig", servertest.Kubeconfig()}, args...)...)
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// kubectl runs a kubectl that must succeed.
func kubectl(t *testing.T, args ...string) string {
	t.Helper()
	out, err := runKubectl(t.Context(), "", args...)
	if err != nil {
		t.Fatalf("kubectl %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

// waitFor waits for a condition of an object, with kubectl.
func waitFor(t *testing.T, namespace, name, condition string) {
	t.Helper()
	kubectl(t, "wait", "-n", namespace, "dlock/"+name, "--for=condition="+condition, "--timeout="+soon.String())
}

// waitForReason waits until all objects have this reason in their condition Ready. Another reason of the same outage is said a minute
// later, if a busy machine has made a server look unreachable at first.
func waitForReason(t *testing.T, reason string) {
	t.Helper()
	const within = time.Minute + 2*soon
	kubectl(t, "wait", "-A", "dlock", "--all", `--for=jsonpath={.status.conditions[?(@.type=="Ready")].reason}=`+reason, "--timeout="+within.String())
}

// holder is who leads, as the object of the operator's own lock shows it.
func holder(t *testing.T) string {
	t.Helper()
	return kubectl(t, "get", "dlock", "operator", "-n", system, "-o", "jsonpath={.status.holder}")
}

// applySamples makes the objects of config/samples; the one that shows who leads gets the id that its comment asks for.
func applySamples(t *testing.T, leader string) {
	t.Helper()
	const placeholder = "operator-00000000"
	samples, err := os.ReadFile("config/samples/locks_v1alpha1_distributedlock.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(samples), placeholder); n != 1 {
		t.Fatalf("%q is in the samples %d times, want 1", placeholder, n)
	}
	out, err := runKubectl(t.Context(), strings.Replace(string(samples), placeholder, leader, 1), "apply", "--server-side", "-f", "-")
	if err != nil {
		t.Fatalf("apply the samples: %v\n%s", err, out)
	}
}

func connect(t *testing.T, database string) *mongolock.Client {
	t.Helper()
	return connectTo(t, servertest.MongoDBURI(), database)
}

func connectTo(t *testing.T, uri, database string) *mongolock.Client {
	t.Helper()
	client, err := mongolock.Connect(t.Context(), uri, mongolock.WithDatabase(database))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), soon)
		defer cancel()
		if err := client.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	return client
}

func writeFile(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "uri")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// freeAddress is an address on which nobody listens.
func freeAddress(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	return address
}
