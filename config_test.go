/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"testing"
	"time"

	"github.com/mongolock/operator/hack/servers"
	"github.com/mongolock/operator/hack/servers/servertest"
)

// The modules that have the CRDs of others, by what go.sum would have of them. They are in no go.mod, as nothing of them is built.
var (
	prometheusOperator = foreignKinds{
		module: "github.com/prometheus-operator/prometheus-operator@v0.85.0", sum: "h1:M5xLCLEoaW2IJfnuCwFzzpL+jSVQu3KGT84Pye+fW8s=",
		files: "example/prometheus-operator-crd/monitoring.coreos.com_%s.yaml", group: "monitoring.coreos.com",
		kinds: []string{"servicemonitors", "prometheusrules"},
	}
	certManager = foreignKinds{
		module: "github.com/cert-manager/cert-manager@v1.19.1", sum: "h1:Txh8L/nLWTDcb7ZnXuXbTe15BxQnLbLirXmbNk0fGgY=",
		files: "deploy/crds/cert-manager.io_%s.yaml", group: "cert-manager.io",
		kinds: []string{"issuers", "certificates"},
	}
)

// section is a resource in config/default/kustomization.yaml that is to be switched on by hand.
var section = regexp.MustCompile(`(?m)^#(- (\S+))$`)

// withSections is a copy of config with these sections switched on.
func withSections(t *testing.T, on func(resource string) bool) string {
	t.Helper()
	folder := filepath.Join(t.TempDir(), "config")
	if err := os.CopyFS(folder, os.DirFS("config")); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(folder, "default", "kustomization.yaml")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	text = section.ReplaceAllFunc(text, func(line []byte) []byte {
		if match := section.FindSubmatch(line); on(string(match[2])) {
			return match[1]
		}
		return line
	})
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return folder
}

func everySection(t *testing.T) string {
	t.Helper()
	return withSections(t, func(string) bool { return true })
}

// Every section of config/default adds what it says, alone and with all others, and a real API server takes it. Without any, a cluster
// need not have what the sections need.
func TestSections(t *testing.T) {
	plain := kustomize(t, "config/default")
	plain.testReferences(t, "mongolock-")
	apply := func(folder string, args ...string) {
		kubectl(t, append([]string{"apply", "--server-side", "-k", folder}, args...)...)
	}
	apply("config/default")
	t.Cleanup(func() { // the operator's own are of use to the other tests
		out, err := runKubectl(context.WithoutCancel(t.Context()), "", "delete", "--ignore-not-found", "-n", system,
			"networkpolicy/mongolock-allow-operator-traffic", "configmap/mongolock-dashboard")
		if err != nil {
			t.Errorf("%v\n%s", err, out)
		}
	})
	prometheusOperator.install(t)
	certManager.install(t)

	text, err := os.ReadFile("config/default/kustomization.yaml")
	if err != nil {
		t.Fatal(err)
	}
	adds := map[string][]string{
		"../prometheus":     {"ServiceMonitor/mongolock-controller-manager-metrics-monitor", "PrometheusRule/mongolock-controller-manager-rules"},
		"../grafana":        {"ConfigMap/mongolock-dashboard"},
		"../certmanager":    {"Issuer/mongolock-selfsigned-issuer", "Certificate/mongolock-metrics-certificate"},
		"../network-policy": {"NetworkPolicy/mongolock-allow-operator-traffic"},
	}
	sections := section.FindAllStringSubmatch(string(text), -1)
	if len(sections) != len(adds) {
		t.Errorf("sections are %q, want %d", sections, len(adds))
	}
	for _, match := range sections {
		folder := withSections(t, func(resource string) bool { return resource == match[2] })
		rendered := kustomize(t, folder+"/default")
		rendered.testReferences(t, "mongolock-")
		for name := range rendered {
			if plain[name] == nil && !slices.Contains(adds[match[2]], name) {
				t.Errorf("%s adds %s", match[2], name)
			}
		}
		for _, name := range adds[match[2]] {
			if object := rendered.get(t, name); object.GetNamespace() != system || plain[name] != nil {
				t.Errorf("%s, by default %v, is in the namespace %q", name, plain[name] != nil, object.GetNamespace())
			}
		}
		apply(folder + "/default")
	}
	apply(everySection(t) + "/default")
}

// foreignKinds are CRDs of another project, in a module.
type foreignKinds struct {
	module, sum string
	files       string // where they are in the module, %s is the kind
	group       string
	kinds       []string
}

// install installs them for the time of the test.
func (k foreignKinds) install(t *testing.T) {
	t.Helper()
	var module struct{ Dir, Sum string }
	out := output(t, exec.CommandContext(t.Context(), "go", "mod", "download", "-json", k.module))
	if err := json.Unmarshal([]byte(out), &module); err != nil {
		t.Fatal(err)
	}
	if module.Sum != k.sum {
		t.Fatalf("%s has the checksum %s", k.module, module.Sum)
	}
	for _, kind := range k.kinds {
		kubectl(t, "apply", "--server-side", "-f", filepath.Join(module.Dir, fmt.Sprintf(k.files, kind)))
		name := "crd/" + kind + "." + k.group
		t.Cleanup(func() {
			if out, err := runKubectl(context.WithoutCancel(t.Context()), "", "delete", name); err != nil {
				t.Errorf("%v\n%s", err, out)
			}
		})
		kubectl(t, "wait", "--for=condition=Established", name, "--timeout="+soon.String())
	}
}

// makeTarget runs make for the tests' cluster. What generates files is left out: other packages' tests read them.
func makeTarget(t *testing.T, args ...string) {
	t.Helper()
	path, err := servers.Kubectl()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "make", append([]string{"--old-file=manifests", "--old-file=kustomize", "KUBECTL=" + path}, args...)...)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+servertest.Kubeconfig())
	output(t, cmd)
}

// What make build-installer writes installs the operator, and make undeploy removes all of it, the objects first.
func TestInstallerAndUndeploy(t *testing.T) {
	const installer, image = "dist/install.yaml", "registry.example/mongolock:7"
	before, err := os.ReadFile(installer)
	switch {
	case err == nil:
		t.Cleanup(func() {
			if err := os.WriteFile(installer, before, 0o600); err != nil {
				t.Error(err)
			}
		})
	case errors.Is(err, fs.ErrNotExist):
		t.Cleanup(func() { _ = os.Remove(installer) })
	default:
		t.Fatal(err)
	}
	deleteObjects(t)
	makeTarget(t, "build-installer", "IMG="+image)
	all := readManifests(t, installer)
	if got := container(t, all.get(t, "Deployment/"+account))["image"]; got != image {
		t.Errorf("the image is %v", got)
	}
	kubectl(t, "apply", "--server-side", "-f", installer)
	kubectl(t, "wait", "--for=condition=Established", "crd/distributedlocks.locks.mongolock.dev", "--timeout="+soon.String())
	if out, err := runKubectl(t.Context(), `{"apiVersion": "locks.mongolock.dev/v1alpha1", "kind": "DistributedLock", "metadata": {"name": "left"}}`,
		"create", "-n", system, "-f", "-"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}

	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		standInForNamespaceController(ctx)
	}()
	makeTarget(t, "undeploy")
	cancel()
	<-done
	for name, object := range all {
		args := []string{"get", name, "--ignore-not-found", "-o", "name"}
		if object.GetNamespace() != "" {
			args = append(args, "-n", object.GetNamespace())
		}
		if out := kubectl(t, args...); out != "" {
			t.Errorf("after undeploy there still is %s", out)
		}
	}
	makeTarget(t, "undeploy") // with nothing there
}

// standInForNamespaceController lets the operator's namespace go when it is deleted. In a whole cluster a controller does so, when it has
// deleted what is in it.
func standInForNamespaceController(ctx context.Context) {
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		phase, err := runKubectl(ctx, "", "get", "namespace", system, "-o", "jsonpath={.status.phase}")
		if err == nil && phase == "Terminating" {
			_, _ = runKubectl(ctx, `{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "`+system+`"}}`,
				"replace", "--raw", "/api/v1/namespaces/"+system+"/finalize", "-f", "-") //nolint:misspell // the API spells it so
		}
	}
}
