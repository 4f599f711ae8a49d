/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package main

import (
	"bytes"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/mongolock/operator/hack/servers/servertest"
	"github.com/mongolock/operator/pkg/mongolock"
)

const (
	chart  = "config/chart"
	crd    = "CustomResourceDefinition/distributedlocks.locks.mongolock.dev"
	keep   = "helm.sh/resource-policy"
	manage = "app.kubernetes.io/managed-by"
)

// everything switches on what is off by default.
var everything = []string{"--set", "serviceMonitor.enabled=true,prometheusRule.enabled=true,dashboards.enabled=true," +
	"networkPolicy.enabled=true,metrics.certificate.certManager=true"}

func helmCommand(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	home := t.TempDir()
	cmd := exec.CommandContext(t.Context(), tool(t, "helm"), args...)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+servertest.Kubeconfig(),
		"HELM_CACHE_HOME="+home, "HELM_CONFIG_HOME="+home, "HELM_DATA_HOME="+home)
	return cmd
}

func helm(t *testing.T, args ...string) string {
	t.Helper()
	return output(t, helmCommand(t, args...))
}

// template is what a release with the name of the project installs, so that names are those of config/default.
func template(t *testing.T, args ...string) manifests {
	t.Helper()
	return parseManifests(t, helm(t, append([]string{"template", "mongolock", chart, "--namespace", system}, args...)...))
}

func TestChartLint(t *testing.T) {
	helm(t, "lint", "--strict", chart)
	helm(t, append([]string{"lint", "--strict", chart}, everything...)...)
}

// With its default values the chart installs what config/default does, with everything switched on what that does with every section
// switched on: both are written by hand, and must not drift apart.
func TestChartEqualsConfig(t *testing.T) {
	rendered := template(t, everything...)
	rendered.testReferences(t, "mongolock-")
	config := kustomize(t, everySection(t)+"/default")
	delete(config, "Namespace/"+system) // which helm install --create-namespace makes

	if got, want := slices.Sorted(maps.Keys(rendered)), slices.Sorted(maps.Keys(config)); !slices.Equal(got, want) {
		t.Errorf("the chart has\n%q, config has\n%q", got, want)
	}
	for name, want := range config {
		got := rendered[name]
		if got == nil {
			continue
		}
		if got.GetNamespace() != want.GetNamespace() {
			t.Errorf("%s is in the namespace %q, want %q", name, got.GetNamespace(), want.GetNamespace())
		}
		forget(t, got)
		forget(t, want)
		same(t, name, got.Object, want.Object)
	}
}

// forget takes away in what chart and config may differ.
func forget(t *testing.T, object *unstructured.Unstructured) {
	t.Helper()
	labels := object.GetLabels()
	for _, label := range []string{manage, "app.kubernetes.io/instance", "app.kubernetes.io/version", "helm.sh/chart",
		"app.kubernetes.io/name", "control-plane"} {
		delete(labels, label)
	}
	annotations := object.GetAnnotations()
	delete(annotations, keep)
	for key, left := range map[string]map[string]string{"labels": labels, "annotations": annotations} {
		delete(object.Object["metadata"].(map[string]any), key)
		if len(left) > 0 {
			object.Object["metadata"].(map[string]any)[key] = anyMap(left)
		}
	}
	// A release is told from others by its name.
	forgetInstance(object.Object)
	if object.GetKind() != "Deployment" {
		return
	}
	c := container(t, object)
	delete(c, "imagePullPolicy")
	c["args"] = slices.DeleteFunc(c["args"].([]any), func(arg any) bool { // which have the binary's own defaults
		return arg == "--mongodb-database="+mongolock.DefaultDatabase || arg == "--mongodb-collection="+mongolock.DefaultCollection
	})
}

func forgetInstance(value any) {
	switch value := value.(type) {
	case map[string]any:
		delete(value, "app.kubernetes.io/instance")
		for _, v := range value {
			forgetInstance(v)
		}
	case []any:
		for _, v := range value {
			forgetInstance(v)
		}
	}
}

// The chart's role is the generated one to the letter, whatever else is switched on, and its CRD the generated CRD.
func TestChartGenerated(t *testing.T) {
	for _, values := range [][]string{nil, everything, {"--set", "mirrorUndeclared=shown,metrics.enabled=false,crds.keep=false"}} {
		rendered := template(t, values...)
		role := readManifests(t, "config/rbac/role.yaml").get(t, "ClusterRole/manager-role")
		same(t, "the operator's role", field(t, rendered.get(t, "ClusterRole/mongolock-manager-role"), "rules"), field(t, role, "rules"))
		want := readManifests(t, "config/crd/bases/locks.mongolock.dev_distributedlocks.yaml").get(t, crd)
		got := rendered.get(t, crd)
		if kept := got.GetAnnotations()[keep] == "keep"; kept == (len(values) > 0 && strings.Contains(values[1], "crds.keep=false")) {
			t.Errorf("%q: annotations of the CRD are %v", values, got.GetAnnotations())
		}
		forget(t, got)
		same(t, "the CRD", got.Object, want.Object)
	}
}

// Each value gets where it belongs.
func TestChartValues(t *testing.T) {
	const deployment, account = "Deployment/mongolock-controller-manager", "mongolock-controller-manager"
	values := filepath.Join(t.TempDir(), "values.yaml")
	err := os.WriteFile(values, []byte(`
image: {repository: registry.example/team/mongolock, tag: "7", pullPolicy: Always}
imagePullSecrets: [{name: registry}]
replicas: 3
podLabels: {team: locks, control-plane: mine}
podAnnotations: {note: here}
resources: {limits: {cpu: 2, memory: 1Gi}}
nodeSelector: {kubernetes.io/arch: arm64}
tolerations: [{key: dedicated, operator: Exists}]
affinity: {nodeAffinity: {preferredDuringSchedulingIgnoredDuringExecution: []}}
topologySpreadConstraints: [{maxSkew: 2, topologyKey: zone, whenUnsatisfiable: DoNotSchedule}]
mongodb: {existingSecret: {name: store, key: url}, database: here, collection: "mine: #1"}
allowForeignIDs: true
extraArgs: [--leader-election-lease-duration=45s, "--zap-log-level=2"]
crds: {install: false}
metrics: {secure: false}
serviceMonitor: {enabled: true, labels: {release: prometheus}}
prometheusRule: {enabled: true, labels: {release: prometheus}}
dashboards: {enabled: true, labels: {folder: locks}}
networkPolicy: {enabled: true, apiServer: {ports: [6444]}, mongodb: {cidrs: [10.20.0.0/24, "fd00::/64"], ports: [27018, 27019]}}
podDisruptionBudget: {enabled: false}
`), 0o600)
	if err != nil {
		t.Fatal(err)
	}
	rendered := template(t, "--values", values)
	rendered.testReferences(t, "mongolock-")
	if rendered[crd] != nil || rendered.kinds()["PodDisruptionBudget"] || rendered.kinds()["Role"] {
		t.Errorf("there are %q", rendered.names())
	}
	d := rendered.get(t, deployment)
	s, err := parse(arguments(t, d), func(string) (string, bool) { return "", false })
	if err != nil {
		t.Fatal(err)
	}
	if s.database != "here" || s.collection != "mine: #1" || !s.controller.AllowForeignIDs || s.manager.Metrics.SecureServing ||
		s.manager.Metrics.BindAddress != ":8443" || *s.manager.LeaseDuration != 45*time.Second || s.uriFile != "/etc/mongolock/mongodb/url" {
		t.Errorf("arguments %q", arguments(t, d))
	}
	pod := field(t, d, "spec", "template", "spec").(map[string]any)
	selector := labels(t, d, "spec", "selector", "matchLabels")
	spread := map[string]any{"maxSkew": int64(2), "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule",
		"labelSelector": map[string]any{"matchLabels": anyMap(selector)}}
	for what, pair := range map[string][2]any{
		"replicas":     {field(t, d, "spec", "replicas"), int64(3)},
		"image":        {container(t, d)["image"], "registry.example/team/mongolock:7"},
		"pull policy":  {container(t, d)["imagePullPolicy"], "Always"},
		"pull secrets": {pod["imagePullSecrets"], []any{map[string]any{"name": "registry"}}},
		"resources": {container(t, d)["resources"], map[string]any{"limits": map[string]any{"cpu": int64(2), "memory": "1Gi"},
			"requests": map[string]any{"cpu": "10m", "memory": "64Mi"}}},
		"node selector": {pod["nodeSelector"], map[string]any{"kubernetes.io/arch": "arm64"}},
		"tolerations":   {pod["tolerations"], []any{map[string]any{"key": "dedicated", "operator": "Exists"}}},
		"affinity":      {pod["affinity"], map[string]any{"nodeAffinity": map[string]any{"preferredDuringSchedulingIgnoredDuringExecution": []any{}}}},
		"spread":        {pod["topologySpreadConstraints"], []any{spread}},
		"secret":        {pod["volumes"].([]any)[0].(map[string]any)["secret"], map[string]any{"secretName": "store", "optional": true}},
		"annotation":    {labels(t, d, "spec", "template", "metadata", "annotations")["note"], "here"},
		"label":         {labels(t, d, "spec", "template", "metadata", "labels")["team"], "locks"},
		"monitor label": {rendered.get(t, "ServiceMonitor/"+account+"-metrics-monitor").GetLabels()["release"], "prometheus"},
		"rule label":    {rendered.get(t, "PrometheusRule/"+account+"-rules").GetLabels()["release"], "prometheus"},
		"folder":        {rendered.get(t, "ConfigMap/mongolock-dashboard").GetLabels()["folder"], "locks"},
		"grafana label": {rendered.get(t, "ConfigMap/mongolock-dashboard").GetLabels()["grafana_dashboard"], "1"},
		"scheme": {field(t, rendered.get(t, "ServiceMonitor/"+account+"-metrics-monitor"), "spec", "endpoints").([]any)[0], map[string]any{
			"path": "/metrics", "port": "http", "scheme": "http"}},
		"egress": {field(t, rendered.get(t, "NetworkPolicy/mongolock-allow-operator-traffic"), "spec", "egress").([]any)[1:], []any{
			map[string]any{"ports": []any{tcp(6444)}},
			map[string]any{"ports": []any{tcp(27018), tcp(27019)}, "to": []any{
				map[string]any{"ipBlock": map[string]any{"cidr": "10.20.0.0/24"}}, map[string]any{"ipBlock": map[string]any{"cidr": "fd00::/64"}}}},
		}},
	} {
		same(t, what, pair[0], pair[1])
	}

	// Without metrics nobody needs to be asked who may read them.
	for name := range template(t, "--set", "metrics.enabled=false") {
		if strings.Contains(name, "metrics") {
			t.Errorf("without metrics there is %s", name)
		}
	}
	d = template(t, "--set", "metrics.enabled=false").get(t, deployment)
	if s, err := parse(arguments(t, d), func(string) (string, bool) { return "", false }); err != nil || s.manager.Metrics.BindAddress != "0" {
		t.Errorf("arguments %q: %v", arguments(t, d), err)
	}

	// Names of two releases differ, and fit.
	long := strings.Repeat("a", 53)
	for name := range parseManifests(t, helm(t, append([]string{"template", long, chart}, everything...)...)) {
		kind, name, _ := strings.Cut(name, "/")
		if kind != "CustomResourceDefinition" && (!strings.HasPrefix(name, "aaaa") || kind == "Service" && len(name) > 63) {
			t.Errorf("%s has the name %s", kind, name)
		}
	}
}

func anyMap(labels map[string]string) map[string]any {
	values := map[string]any{}
	for k, v := range labels {
		values[k] = v
	}
	return values
}

func tcp(port int64) map[string]any { return map[string]any{"port": port, "protocol": "TCP"} }

// The operator makes objects in one namespace only when it is told to, and may do so only there.
func TestChartMirrorUndeclared(t *testing.T) {
	rendered := template(t, "--set", "mirrorUndeclared=shown")
	rendered.testReferences(t, "mongolock-")
	if args := arguments(t, rendered.get(t, "Deployment/mongolock-controller-manager")); !slices.Contains(args, "--mirror-undeclared=shown") {
		t.Errorf("arguments are %q", args)
	}
	for _, name := range []string{"Role/mongolock-mirror-undeclared", "RoleBinding/mongolock-mirror-undeclared"} {
		if namespace := rendered.get(t, name).GetNamespace(); namespace != "shown" {
			t.Errorf("%s is in the namespace %q", name, namespace)
		}
	}
	same(t, "the role", field(t, rendered.get(t, "Role/mongolock-mirror-undeclared"), "rules"), []any{map[string]any{
		"apiGroups": []any{"locks.mongolock.dev"}, "resources": []any{"distributedlocks"}, "verbs": []any{"create", "delete"}}})
	for _, arg := range arguments(t, template(t).get(t, "Deployment/mongolock-controller-manager")) {
		if strings.Contains(arg, "undeclared") || strings.Contains(arg, "kube-api") {
			t.Errorf("by default there is the argument %s", arg)
		}
	}
}

// A certificate of one's own is mounted, and is what Prometheus checks.
func TestChartCertificate(t *testing.T) {
	rendered := template(t, "--set", "serviceMonitor.enabled=true,metrics.certificate.existingSecret=mine")
	rendered.testReferences(t, "mongolock-")
	if kinds := rendered.kinds(); kinds["Issuer"] || kinds["Certificate"] {
		t.Errorf("beside it there are %q", rendered.names())
	}
	s, err := parse(arguments(t, rendered.get(t, "Deployment/mongolock-controller-manager")), func(string) (string, bool) { return "", false })
	if err != nil || s.manager.Metrics.CertDir == "" {
		t.Errorf("the folder is %q: %v", s.manager.Metrics.CertDir, err)
	}
}

func TestChartKubeAPI(t *testing.T) {
	args := arguments(t, template(t, "--set-json", "kubeAPI={\"qps\": 0.5, \"burst\": 2000000}").get(t, "Deployment/mongolock-controller-manager"))
	if !slices.Contains(args, "--kube-api-qps=0.5") || !slices.Contains(args, "--kube-api-burst=2000000") {
		t.Errorf("arguments are %q", args)
	}
}

// Values that the chart does not know, or of another type, are refused with a message that says which.
func TestChartRefuses(t *testing.T) {
	for _, tt := range []struct{ set, want string }{
		{"replicaCount=3", "additional properties 'replicaCount' not allowed"},
		{"mongodb.uri=sesame", "at '/mongodb': additional properties 'uri' not allowed"},
		{"image.digest=x", "at '/image': additional properties 'digest' not allowed"},
		{"replicas=two", "at '/replicas': got string, want integer"},
		{"allowForeignIDs=1", "at '/allowForeignIDs': got number, want boolean"},
		{"crds.keep=maybe", "at '/crds/keep': got string, want boolean"},
		{"image.pullPolicy=Sometimes", "at '/image/pullPolicy': value must be one of"},
		{"mirrorUndeclared=Every_Where", "at '/mirrorUndeclared': 'Every_Where' does not match"},
		{"mongodb.existingSecret.name=", "at '/mongodb/existingSecret/name': minLength"},
		{"networkPolicy.mongodb.ports={70000}", "at '/networkPolicy/mongodb/ports/0': maximum"},
		{"networkPolicy.mongodb.cidrs={mongodb.example}", "at '/networkPolicy/mongodb/cidrs/0': 'mongodb.example' does not match"},
		{"kubeAPI.qps=0", "at '/kubeAPI/qps': exclusiveMinimum"},
		{"kubeAPI.burst=many", "at '/kubeAPI/burst': got string, want"},
		{"extraArgs={now}", "at '/extraArgs/0'"},
		{"podLabels.a=1", "at '/podLabels/a': got number, want string"},
		{"metrics.certificate.certManager=true,metrics.certificate.existingSecret=mine", "only one can make the certificate"},
		{"metrics.certificate.certManager=true,metrics.secure=false", "metrics.certificate needs metrics.enabled and metrics.secure"},
		{"metrics.certificate.existingSecret=mine,metrics.enabled=false", "metrics.certificate needs metrics.enabled and metrics.secure"},
		{"metrics.enabled=false,serviceMonitor.enabled=true", "serviceMonitor.enabled needs metrics.enabled"},
		{"metrics.enabled=false,prometheusRule.enabled=true", "prometheusRule.enabled needs metrics.enabled"},
	} {
		var stderr bytes.Buffer
		cmd := helmCommand(t, "template", "mongolock", chart, "--set", tt.set)
		cmd.Stderr = &stderr
		if err := cmd.Run(); err == nil || !strings.Contains(stderr.String(), tt.want) || strings.Contains(stderr.String(), "sesame") {
			t.Errorf("%s: %v, no %q in\n%s", tt.set, err, tt.want, &stderr)
		}
	}
}

// Installed, upgraded and uninstalled on a real API server; in between the binary does its work with the rights that the chart gives.
func TestChartInstall(t *testing.T) {
	const namespace, release, prefix = "chart", "locks", "locks-mongolock-"
	// Another test's is not Helm's, which refuses to take it over.
	deleteObjects(t)
	kubectl(t, "delete", strings.ToLower(crd), "--ignore-not-found", "--timeout="+soon.String())
	kubectl(t, "create", "namespace", namespace)
	kubectl(t, "label", "namespace", namespace, "pod-security.kubernetes.io/enforce=restricted")
	in := []string{"--namespace", namespace}
	database := servertest.Database(t)

	notes := helm(t, append(in, "install", release, chart, "--set", "mongodb.database="+database)...)
	if !strings.Contains(notes, "kubectl -n chart create secret generic mongolock-mongodb --from-literal=uri=") {
		t.Errorf("no word of the Secret in the notes:\n%s", notes)
	}
	kubectl(t, "wait", "--for=condition=Established", strings.ToLower(crd), "--timeout="+soon.String())
	deployment := func() *unstructured.Unstructured {
		name := "Deployment/" + prefix + "controller-manager"
		return parseManifests(t, kubectl(t, "get", name, "-n", namespace, "-o", "yaml")).get(t, name)
	}
	testAdmission(t, deployment(), namespace)

	binary := filepath.Join(t.TempDir(), "manager")
	output(t, exec.CommandContext(t.Context(), "go", "build", "-o", binary, "."))
	c := &cluster{binary: binary, config: asServiceAccount(t, namespace, prefix+"controller-manager")}
	var args []string
	for _, arg := range arguments(t, deployment()) { // but for those that only make sense in a pod
		if !strings.Contains(arg, "-bind-address=") && !strings.HasPrefix(arg, "--mongodb-uri-file=") {
			args = append(args, arg)
		}
	}
	o := c.start(t, []string{"POD_NAMESPACE=" + namespace}, append(args, "--mongodb-uri-file="+writeFile(t, servertest.MongoDBURI()))...)
	if out, err := runKubectl(t.Context(), `{"apiVersion": "locks.mongolock.dev/v1alpha1", "kind": "DistributedLock", "metadata": {"name": "report"}}`,
		"create", "-n", namespace, "-f", "-"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	waitFor(t, namespace, "report", "Held=false")
	lease, err := connect(t, database).TryLock(t.Context(), namespace+"/report", mongolock.WithOwner("worker"))
	if err != nil {
		t.Fatal(err)
	}
	waitFor(t, namespace, "report", "Held=true")
	if err := lease.Unlock(t.Context()); err != nil {
		t.Fatal(err)
	}
	waitFor(t, namespace, "report", "Held=false")
	o.stop(t, 0)

	helm(t, append(in, "upgrade", release, chart, "--reset-then-reuse-values", "--set", "replicas=3,networkPolicy.enabled=true,podDisruptionBudget.enabled=false")...)
	d := deployment()
	same(t, "replicas", field(t, d, "spec", "replicas"), int64(3))
	if args := arguments(t, d); !slices.Contains(args, "--mongodb-database="+database) {
		t.Errorf("after the upgrade the arguments are %q", args)
	}
	kubectl(t, "get", "-n", namespace, "networkpolicy/"+prefix+"allow-operator-traffic")
	if out := kubectl(t, "get", "-n", namespace, "poddisruptionbudget", "-o", "name"); out != "" && !strings.HasPrefix(out, "No resources") {
		t.Errorf("after the upgrade there still is %s", out)
	}

	helm(t, append(in, "uninstall", release)...)
	kubectl(t, "get", "-n", namespace, "dlock/report")
	for _, kinds := range [][]string{
		{"deployments,services,networkpolicies,poddisruptionbudgets,configmaps", "-n", namespace},
		{"clusterroles,clusterrolebindings", "-A"},
	} {
		left := kubectl(t, append([]string{"get", "-l", "app.kubernetes.io/instance=" + release, "-o", "name"}, kinds...)...)
		if left != "" && !strings.HasPrefix(left, "No resources") {
			t.Errorf("after uninstall there still is\n%s", left)
		}
	}

	// The same release takes its CRD back, and goes with it if told to.
	helm(t, append(in, "install", release, chart, "--set", "crds.keep=false")...)
	kubectl(t, "get", "-n", namespace, "dlock/report")
	helm(t, append(in, "uninstall", release)...)
	kubectl(t, "wait", "--for=delete", strings.ToLower(crd), "--timeout="+soon.String())
}
