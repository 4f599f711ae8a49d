/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/mongolock/operator/hack/servers/servertest"
)

// tool is the path of a tool that make builds.
func tool(t *testing.T, name string) string {
	t.Helper()
	path, err := filepath.Abs(filepath.Join("bin", name))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("bin/%s is missing; make it with: make %s", name, name)
	}
	return path
}

// output runs a program that must succeed, and returns what it prints to its standard output.
func output(t *testing.T, cmd *exec.Cmd) string {
	t.Helper()
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s: %v\n%s%s", strings.Join(cmd.Args, " "), err, &stdout, &stderr)
	}
	return stdout.String()
}

// manifests are objects by kind and name, as in "Deployment/mongolock-controller-manager".
type manifests map[string]*unstructured.Unstructured

func parseManifests(t *testing.T, text string) manifests {
	t.Helper()
	all := manifests{}
	decoder := yaml.NewYAMLOrJSONDecoder(strings.NewReader(text), 4096)
	for {
		object := &unstructured.Unstructured{}
		err := decoder.Decode(object)
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		if len(object.Object) == 0 {
			continue // only a comment
		}
		name := object.GetKind() + "/" + object.GetName()
		if all[name] != nil {
			t.Errorf("there are two of %s", name)
		}
		all[name] = object
	}
}

func readManifests(t *testing.T, path string) manifests {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return parseManifests(t, string(text))
}

func kustomize(t *testing.T, folder string) manifests {
	t.Helper()
	return parseManifests(t, output(t, exec.Command(tool(t, "kustomize"), "build", folder)))
}

// get is an object that must be there.
func (m manifests) get(t *testing.T, name string) *unstructured.Unstructured {
	t.Helper()
	if m[name] == nil {
		t.Fatalf("no %s, only %q", name, m.names())
	}
	return m[name]
}

func (m manifests) names() []string {
	var names []string
	for name := range m {
		names = append(names, name)
	}
	return names
}

// kinds are the kinds of all objects.
func (m manifests) kinds() map[string]bool {
	kinds := map[string]bool{}
	for _, object := range m {
		kinds[object.GetKind()] = true
	}
	return kinds
}

// field is a field that must be there, by its path.
func field(t *testing.T, object *unstructured.Unstructured, path ...string) any {
	t.Helper()
	value, ok, err := unstructured.NestedFieldNoCopy(object.Object, path...)
	if err != nil || !ok {
		t.Fatalf("%s %s has no %s: %v", object.GetKind(), object.GetName(), strings.Join(path, "."), err)
	}
	return value
}

// labels is a field that has labels.
func labels(t *testing.T, object *unstructured.Unstructured, path ...string) map[string]string {
	t.Helper()
	field(t, object, path...)
	values, _, err := unstructured.NestedStringMap(object.Object, path...)
	if err != nil {
		t.Fatal(err)
	}
	return values
}

func container(t *testing.T, deployment *unstructured.Unstructured) map[string]any {
	t.Helper()
	containers, _ := field(t, deployment, "spec", "template", "spec", "containers").([]any)
	if len(containers) != 1 {
		t.Fatalf("%d containers, want 1", len(containers))
	}
	return containers[0].(map[string]any)
}

func arguments(t *testing.T, deployment *unstructured.Unstructured) []string {
	t.Helper()
	var args []string
	for _, arg := range container(t, deployment)["args"].([]any) {
		args = append(args, arg.(string))
	}
	return args
}

// same tells where two values of parsed manifests differ.
func same(t *testing.T, what string, got, want any) {
	t.Helper()
	gotList, _ := got.([]any)
	if wantList, ok := want.([]any); ok && len(gotList) == len(wantList) {
		for i := range wantList {
			same(t, fmt.Sprintf("%s[%d]", what, i), gotList[i], wantList[i])
		}
		return
	}
	g, gotMap := got.(map[string]any)
	w, wantMap := want.(map[string]any)
	if !gotMap || !wantMap {
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s is\n%v\nwant\n%v", what, got, want)
		}
		return
	}
	for key := range w {
		same(t, what+"."+key, g[key], w[key])
	}
	for key := range g {
		if _, ok := w[key]; !ok {
			t.Errorf("%s.%s is %v, want none", what, key, g[key])
		}
	}
}

// testReferences checks that what selects the operator's pods, its ports or its service does select them. No server checks that.
func (m manifests) testReferences(t *testing.T, prefix string) {
	t.Helper()
	deployment := m.get(t, "Deployment/"+prefix+"controller-manager")
	pod := labels(t, deployment, "spec", "template", "metadata", "labels")
	matches := func(selector, labels map[string]string) bool {
		both := maps.Clone(labels)
		maps.Copy(both, selector)
		return len(selector) > 0 && maps.Equal(both, labels)
	}
	for name, path := range map[string][]string{
		"Deployment/" + prefix + "controller-manager":                     {"spec", "selector", "matchLabels"},
		"PodDisruptionBudget/" + prefix + "controller-manager":            {"spec", "selector", "matchLabels"},
		"NetworkPolicy/" + prefix + "allow-operator-traffic":              {"spec", "podSelector", "matchLabels"},
		"Service/" + prefix + "controller-manager-metrics-service":        {"spec", "selector"},
		"ServiceMonitor/" + prefix + "controller-manager-metrics-monitor": {"spec", "selector", "matchLabels"},
	} {
		object := m[name]
		if object == nil {
			continue // switched off
		}
		target := pod
		if object.GetKind() == "ServiceMonitor" {
			target = m.get(t, "Service/"+prefix+"controller-manager-metrics-service").GetLabels()
		}
		if selector := labels(t, object, path...); !matches(selector, target) {
			t.Errorf("%s selects %v, which is not in %v", name, selector, target)
		}
	}
	if service := m["Service/"+prefix+"controller-manager-metrics-service"]; service != nil {
		port := field(t, service, "spec", "ports").([]any)[0].(map[string]any)
		served := false
		for _, p := range container(t, deployment)["ports"].([]any) {
			served = served || p.(map[string]any)["name"] == port["targetPort"] && p.(map[string]any)["containerPort"] == port["port"]
		}
		if !served {
			t.Errorf("the container has no port like the service's %v", port)
		}
		if monitor := m["ServiceMonitor/"+prefix+"controller-manager-metrics-monitor"]; monitor != nil {
			if endpoint := field(t, monitor, "spec", "endpoints").([]any)[0].(map[string]any); endpoint["port"] != port["name"] {
				t.Errorf("the monitor asks for port %v of the service, which has %v", endpoint["port"], port["name"])
			}
		}
	}
	m.testCertificate(t, prefix)
	account := field(t, deployment, "spec", "template", "spec", "serviceAccountName").(string)
	namespace := m.get(t, "ServiceAccount/"+account).GetNamespace()
	for name, object := range m {
		if !strings.HasSuffix(object.GetKind(), "Binding") {
			continue
		}
		subject := field(t, object, "subjects").([]any)[0].(map[string]any)
		if subject["name"] != account || subject["namespace"] != namespace {
			t.Errorf("%s binds %v, want the deployment's account %s/%s", name, subject, namespace, account)
		}
		m.get(t, field(t, object, "roleRef", "kind").(string)+"/"+field(t, object, "roleRef", "name").(string))
	}
}

// testCertificate checks that the certificate that the operator is told of is the one that is made, mounted, and checked by Prometheus.
func (m manifests) testCertificate(t *testing.T, prefix string) {
	t.Helper()
	deployment := m.get(t, "Deployment/"+prefix+"controller-manager")
	var secret, folder string
	for _, volume := range field(t, deployment, "spec", "template", "spec", "volumes").([]any) {
		if v := volume.(map[string]any); v["name"] == "metrics-certificate" {
			secret = v["secret"].(map[string]any)["secretName"].(string)
		}
	}
	for _, mount := range container(t, deployment)["volumeMounts"].([]any) {
		if v := mount.(map[string]any); v["name"] == "metrics-certificate" {
			folder = v["mountPath"].(string)
		}
	}
	if told := slices.Contains(arguments(t, deployment), "--metrics-cert-path="+folder); told != (folder != "") || told != (secret != "") {
		t.Errorf("the Secret %q is mounted as %q, and the arguments are %q", secret, folder, arguments(t, deployment))
	}
	service := prefix + "controller-manager-metrics-service"
	host := service + "." + deployment.GetNamespace() + ".svc"
	if monitor := m["ServiceMonitor/"+prefix+"controller-manager-metrics-monitor"]; monitor != nil {
		want := map[string]any{"ca": map[string]any{"secret": map[string]any{"name": secret, "key": "ca.crt"}}, "serverName": host}
		if secret == "" {
			want = map[string]any{"insecureSkipVerify": true}
		}
		if endpoint := field(t, monitor, "spec", "endpoints").([]any)[0].(map[string]any); endpoint["scheme"] == "https" {
			same(t, "the monitor's TLS", endpoint["tlsConfig"], want)
		}
	}
	if certificate := m["Certificate/"+prefix+"metrics-certificate"]; certificate != nil {
		m.get(t, "Service/"+service)
		m.get(t, "Issuer/"+field(t, certificate, "spec", "issuerRef", "name").(string))
		same(t, "the certificate's names", field(t, certificate, "spec", "dnsNames"), []any{host})
		same(t, "the certificate's Secret", field(t, certificate, "spec", "secretName"), secret)
	}
}

// testAdmission checks that a namespace which enforces the restricted Pod Security profile lets a pod of the deployment in.
func testAdmission(t *testing.T, deployment *unstructured.Unstructured, namespace string) {
	t.Helper()
	pod, err := json.Marshal(map[string]any{"apiVersion": "v1", "kind": "Pod", "spec": field(t, deployment, "spec", "template", "spec"),
		"metadata": map[string]any{"name": "probe", "namespace": namespace, "labels": labels(t, deployment, "spec", "template", "metadata", "labels")}})
	if err != nil {
		t.Fatal(err)
	}
	if out, err := runKubectl(t.Context(), string(pod), "create", "--dry-run=server", "-f", "-"); err != nil || strings.Contains(out, "violate") {
		t.Errorf("a pod of the template: %v\n%s", err, out)
	}
}

// deleteObjects deletes what other tests have left. No operator runs now that would take its finalizers away.
func deleteObjects(t *testing.T) {
	t.Helper()
	if kubectl(t, "get", strings.ToLower(crd), "--ignore-not-found", "-o", "name") == "" {
		return
	}
	names := kubectl(t, "get", "dlock", "-A", "-o", `jsonpath={range .items[*]}{.metadata.namespace} {.metadata.name}{"\n"}{end}`)
	for line := range strings.Lines(names) {
		namespace, name, _ := strings.Cut(strings.TrimSpace(line), " ")
		kubectl(t, "patch", "-n", namespace, "dlock", name, "--type=merge", "-p", `{"metadata": {"finalizers": null}}`)
		kubectl(t, "delete", "-n", namespace, "dlock", name)
	}
}

// asServiceAccount is the path of a kubeconfig with the rights of a service account.
func asServiceAccount(t *testing.T, namespace, name string) string {
	t.Helper()
	config, err := clientcmd.LoadFromFile(servertest.Kubeconfig())
	if err != nil {
		t.Fatal(err)
	}
	for _, ctx := range config.Contexts {
		ctx.AuthInfo = name
	}
	token := strings.TrimSpace(kubectl(t, "create", "token", name, "-n", namespace))
	config.AuthInfos = map[string]*clientcmdapi.AuthInfo{name: {Token: token}}
	path := filepath.Join(t.TempDir(), "kubeconfig")
	if err := clientcmd.WriteToFile(*config, path); err != nil {
		t.Fatal(err)
	}
	return path
}
