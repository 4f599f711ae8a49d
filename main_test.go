/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package main

import (
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/mongolock/operator/hack/faultproxy"
	"github.com/mongolock/operator/hack/servers/servertest"
	"github.com/mongolock/operator/pkg/mongolock"
)

const (
	// soon is how long anything may take that has no limit of its own.
	soon = 30 * time.Second
	tick = 50 * time.Millisecond

	system  = "mongolock-system"
	account = "mongolock-controller-manager"
)

// shortLease makes leadership, and with it the time before a replica that does not lead speaks of an outage, short.
var shortLease = []string{"--leader-election-lease-duration=4s", "--leader-election-renew-deadline=3s", "--leader-election-retry-period=500ms"}

func TestMain(m *testing.M) {
	servertest.RunThen(m, searchSecrets, servertest.MongoDB, servertest.Kubernetes)
}

func TestParse(t *testing.T) {
	environment := map[string]string{
		"POD_NAMESPACE": "here", "MONGODB_DATABASE": "from-env", "MONGODB_COLLECTION": "from-env", "MONGOLOCK_LEADER_ELECT": "false",
	}
	lookup := func(name string) (string, bool) { v, ok := environment[name]; return v, ok }
	s, err := parse([]string{"--mongodb-collection=from-flag", "--leader-election-retry-period=3s"}, lookup)
	if err != nil {
		t.Fatal(err)
	}
	if s.database != "from-env" || s.collection != "from-flag" || s.elect || s.election.Namespace != "here" || s.election.Name != "" ||
		*s.manager.RetryPeriod != 3*time.Second || !s.manager.Metrics.SecureServing || s.manager.Metrics.BindAddress != ":8443" || s.http2 ||
		s.controller.AllowForeignIDs || s.controller.MirrorUndeclared != "" || s.apiQPS != apiQPS || s.apiBurst != apiBurst {
		t.Errorf("got %+v", s)
	}
	for name, value := range map[string]string{
		"MONGOLOCK_LEADER_ELECT": "perhaps", "MONGOLOCK_LEADER_ELECTION_RETRY_PERIOD": "5", "MONGOLOCK_ZAP_LOG_LEVEL": "mongodb://user:sesame@host",
	} {
		environment = map[string]string{name: value}
		if _, err := parse(nil, lookup); err == nil || !strings.Contains(err.Error(), name) || strings.Contains(err.Error(), value) {
			t.Errorf("%s=%s: %v", name, value, err)
		}
	}
	environment = nil
	long := strings.Repeat("x", 255)
	for _, tt := range []struct{ arg, want string }{
		{"mongodb://user:sesame@host", "unexpected arguments (1)"},
		{"--mongodb-uri-file=mongodb://user:sesame@host", "--mongodb-uri-file takes the name of a file"},
		{"--mongodb-database=mongodb://user:sesame@host", "--mongodb-database must have"},
		{"--mongodb-database=", "--mongodb-database must have"},
		{"--mongodb-database=" + long, "--mongodb-database must have"},
		{"--mongodb-collection=a$b:sesame", "--mongodb-collection must have"},
		{"--mongodb-collection=system.x", "--mongodb-collection must have"},
		{"--mongodb-collection=", "--mongodb-collection must have"},
		{"--mirror-undeclared=Not A Namespace", "--mirror-undeclared must be the name of a namespace"},
		{"--kube-api-qps=0", "--kube-api-qps must be more than 0"},
		{"--kube-api-burst=0", "--kube-api-burst at least 1"},
		{"--mongodb-collection=" + long, "--mongodb-collection must have"},
		{"--mongodb-database=\xff", "--mongodb-database must have"},
		{"--mongodb-collection=\xff", "--mongodb-collection must have"},
		{"--metrics-secure=mongodb://user:sesame@host", "--metrics-secure: the value"},
		{"--zap-log-level=mongodb://user:sesame@host", "--zap-log-level: the value"},
		{"--leader-election-retry-period\nmongodb://user:sesame@host", "--leader-election-retry-period: the value"},
		{"--leader-election-id\n--http2\n--leader-elect\n--leader-election-retry-period", "--leader-election-retry-period: the value is missing"},
		{"-mongodb://user:sesame@host", "an argument that begins with a dash is no flag"},
		{"--=sesame", "an argument that begins with a dash is no flag"},
		{"--leader-elect=false\n---sesame", "an argument that begins with a dash is no flag"},
		{"--mongodb-uri=mongodb://user:sesame@host", "flag provided but not defined: -mongodb-uri"},
	} {
		if _, err := parse(strings.Split(tt.arg, "\n"), lookup); err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "sesame") {
			t.Errorf("%s: %v", tt.arg, err)
		}
	}
}

// cluster is a Kubernetes with mongolock installed as in config/default, and the operator's binary.
type cluster struct {
	binary string
	token  string // of the operator's service account
	config string // kubeconfig with that token
	leader string // the default --leader-election-id
}

// The real binary, with the rights that config/ gives it and no more, against real servers.
func TestOperator(t *testing.T) {
	c := &cluster{}
	c.install(t)
	t.Run("manifests", c.testManifests)
	t.Run("replicas", c.testReplicas)
	t.Run("killed", c.testKilled)
	t.Run("outages", c.testOutages)
	t.Run("administration", c.testAdministration)
	t.Run("missing file", c.testMissingFile)
	t.Run("unreachable", c.testUnreachable)
	t.Run("wrong password", c.testWrongPassword)
	t.Run("secure store", c.testSecureStore)
	t.Run("metrics certificate", c.testMetricsCertificate)
	t.Run("unknown name", c.testUnknownName)
	t.Run("leadership lost", c.testLeadershipLost)
	t.Run("no cluster id", c.testNoClusterID)
	t.Run("example operator", c.testExampleOperator)
	t.Run("bad flags", c.testBadFlags)
}

func (c *cluster) install(t *testing.T) {
	t.Helper()
	kubectl(t, "apply", "--server-side", "-k", "config/default")
	kubectl(t, "wait", "--for=condition=Established", "crd/distributedlocks.locks.mongolock.dev", "--timeout=20s")
	c.leader = "operator-" + kubectl(t, "get", "namespace", "kube-system", "-o", "jsonpath={.metadata.uid}")[:8]
	applySamples(t, c.leader)
	c.token = strings.TrimSpace(kubectl(t, "create", "token", account, "-n", system))
	config, err := clientcmd.LoadFromFile(servertest.Kubeconfig())
	if err != nil {
		t.Fatal(err)
	}
	for _, ctx := range config.Contexts {
		ctx.AuthInfo = account
	}
	config.AuthInfos = map[string]*clientcmdapi.AuthInfo{account: {Token: c.token}}
	c.config = filepath.Join(t.TempDir(), "kubeconfig")
	if err := clientcmd.WriteToFile(*config, c.config); err != nil {
		t.Fatal(err)
	}
	c.binary = filepath.Join(t.TempDir(), "manager")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", c.binary, ".").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
}

// What is installed does what it should in a cluster that runs pods, as far as can be seen without one.
func (c *cluster) testManifests(t *testing.T) {
	var deployment struct {
		Spec struct {
			Replicas int
			Template struct {
				Metadata map[string]any `json:"metadata"`
				Spec     map[string]any `json:"spec"`
			}
		}
	}
	out := kubectl(t, "get", "deployment", account, "-n", system, "-o", "json")
	if err := json.Unmarshal([]byte(out), &deployment); err != nil {
		t.Fatal(err)
	}
	if deployment.Spec.Replicas != 2 || deployment.Spec.Template.Spec["terminationGracePeriodSeconds"] != 40.0 {
		t.Errorf("deployment is %s", out)
	}
	// The namespace enforces the restricted profile; a pod of the template gets past it.
	pod, err := json.Marshal(map[string]any{"apiVersion": "v1", "kind": "Pod", "spec": deployment.Spec.Template.Spec,
		"metadata": map[string]any{"name": "probe", "namespace": system, "labels": deployment.Spec.Template.Metadata["labels"]}})
	if err != nil {
		t.Fatal(err)
	}
	if out, err := runKubectl(t.Context(), string(pod), "create", "--dry-run=server", "-f", "-"); err != nil || strings.Contains(out, "violate") {
		t.Errorf("a pod of the template: %v\n%s", err, out)
	}
	// The binary takes the deployment's arguments.
	containers, _ := deployment.Spec.Template.Spec["containers"].([]any)
	container, _ := containers[0].(map[string]any)
	var args []string
	for _, arg := range container["args"].([]any) {
		args = append(args, fmt.Sprint(arg))
	}
	s, err := parse(args, func(string) (string, bool) { return "", false })
	if err != nil || s.uriFile != "/etc/mongolock/mongodb/uri" || s.manager.Metrics.BindAddress != ":8443" || s.manager.HealthProbeBindAddress != ":8081" {
		t.Errorf("arguments %q: %v", args, err)
	}
	// The role is enough, as the other tests show, and no more than that.
	for _, verb := range []string{"create leases", "update leases", "get secrets", "list secrets", "get configmaps", "create distributedlocks",
		"update distributedlocks", "delete distributedlocks", "create pods", "delete events.events.k8s.io", "list namespaces", "get namespaces/default"} {
		args := append([]string{"auth", "can-i", "-n", system, "--as=system:serviceaccount:" + system + ":" + account}, strings.Fields(verb)...)
		if out, _ := runKubectl(t.Context(), "", args...); !strings.HasSuffix("\n"+strings.TrimSpace(out), "\nno") { // after a warning
			t.Errorf("may the operator %s? %s", verb, out)
		}
	}
}

// Two replicas elect a leader, which mirrors; when it is stopped the other takes over, and at the end nobody leads.
func (c *cluster) testReplicas(t *testing.T) {
	database := servertest.Database(t)
	uri := writeFile(t, servertest.MongoDBURI())
	first := c.start(t, nil, "--mongodb-uri-file="+uri, "--mongodb-database="+database)
	waitFor(t, system, "operator", "Held=true")
	second := c.start(t, nil, "--mongodb-uri-file="+uri, "--mongodb-database="+database)
	second.serves(t, "/readyz")
	first.serves(t, "/healthz")
	first.serves(t, "/healthz/leadership")
	leader := holder(t)

	locks := connect(t, database)
	lease, err := locks.TryLock(t.Context(), "default/nightly-report", mongolock.WithOwner("worker"))
	if err != nil {
		t.Fatal(err)
	}
	waitFor(t, "default", "nightly-report", "Held=true")
	c.testMetrics(t, first)

	first.stop(t, 0)
	await(t, "the other replica leads", func() bool { return holder(t) != leader && holder(t) != "" })
	if err := lease.Unlock(t.Context()); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "default", "nightly-report", "Held=false")
	second.stop(t, 0)
	if state, err := locks.Get(t.Context(), system+"/"+c.leader); err != nil || state.Held() || state.Grants != 2 {
		t.Errorf("after the last replica has stopped: %+v %v", state, err)
	}
}

// Without the file the operator says so in the objects, and goes on with it when it comes.
func (c *cluster) testMissingFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "uri")
	o := c.start(t, nil, "--mongodb-uri-file="+file, "--mongodb-database="+servertest.Database(t))
	waitForReason(t, "StoreNotConfigured")
	o.serves(t, "/healthz")
	o.serves(t, "/readyz")
	if err := os.WriteFile(file, []byte("not a connection string"), 0o600); err != nil {
		t.Fatal(err)
	}
	const refusal = "cannot be used; going on without it"
	await(t, "the log tells of the string that cannot be used", func() bool { return strings.Contains(o.log(), refusal) })
	o.serves(t, "/healthz") // that is no better
	if err := os.WriteFile(file, []byte(servertest.MongoDBURI()+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	waitForReason(t, "Mirrored")
	if n := strings.Count(o.log(), refusal); n != 1 {
		t.Errorf("the log tells %d times of the string that cannot be used, want once", n)
	}
	o.stop(t, 0) // it is still the same process
}

// The environment variable is used when there is no file; an unreachable server shows, and does not end the operator.
func (c *cluster) testUnreachable(t *testing.T) {
	o := c.start(t, []string{"MONGODB_URI=mongodb://user:sesame@" + freeAddress(t) + "/?serverSelectionTimeoutMS=1000"}, shortLease...)
	waitForReason(t, "StoreUnreachable")
	o.serves(t, "/healthz")
	o.serves(t, "/readyz")
	o.stop(t, 0)
}

// A wrong password shows.
func (c *cluster) testWrongPassword(t *testing.T) {
	uri, err := url.Parse(servertest.MongoDBURI())
	if err != nil {
		t.Fatal("the URI of the tests' MongoDB cannot be parsed")
	}
	uri.User = url.UserPassword("nobody", "open-sesame")
	o := c.start(t, nil, append([]string{"--mongodb-uri-file=" + writeFile(t, uri.String())}, shortLease...)...)
	waitForReason(t, "StoreUnauthorized")
	o.serves(t, "/healthz")
	o.stop(t, 0)
}

// A name that DNS does not know is not taken for a string that is missing.
func (c *cluster) testUnknownName(t *testing.T) {
	o := c.start(t, []string{"MONGODB_URI=mongodb+srv://user:sesame@mongolock.invalid/"})
	waitForReason(t, "StoreUnreachable")
	o.serves(t, "/healthz")
	o.stop(t, 0)
}

// A leader that loses the lock ends with an error: its standby may lead already.
func (c *cluster) testLeadershipLost(t *testing.T) {
	proxy, err := faultproxy.Start(servertest.MongoDBURI())
	if err != nil {
		t.Fatal(err)
	}
	defer proxy.Close()
	database := servertest.Database(t)
	o := c.start(t, nil, append([]string{"--mongodb-uri-file=" + writeFile(t, proxy.URI()), "--mongodb-database=" + database}, shortLease...)...)
	locks := connect(t, database)
	await(t, "the operator leads", func() bool { // its object may still show an earlier test's leader
		state, err := locks.Get(t.Context(), system+"/"+c.leader)
		return err == nil && state.Held()
	})
	proxy.Refuse()
	o.ends(t, 1)
	if !strings.Contains(o.log(), "leadership was lost") && !strings.Contains(o.log(), "leader election lost") {
		t.Errorf("the log does not say why:\n%s", o.log())
	}
}

// An operator that may not read what its election is named after says which flag helps, and with that flag it runs.
func (c *cluster) testNoClusterID(t *testing.T) {
	kubectl(t, "create", "serviceaccount", "stranger", "-n", system)
	config, err := clientcmd.LoadFromFile(c.config)
	if err != nil {
		t.Fatal(err)
	}
	config.AuthInfos[account] = &clientcmdapi.AuthInfo{Token: strings.TrimSpace(kubectl(t, "create", "token", "stranger", "-n", system))}
	stranger := *c
	stranger.config = filepath.Join(t.TempDir(), "kubeconfig")
	if err := clientcmd.WriteToFile(*config, stranger.config); err != nil {
		t.Fatal(err)
	}
	args := []string{"--mongodb-uri-file=" + writeFile(t, servertest.MongoDBURI()), "--mongodb-database=" + servertest.Database(t)}
	o := stranger.start(t, nil, args...)
	o.ends(t, 1)
	if !strings.Contains(o.log(), "set the flag") || !strings.Contains(o.log(), "--leader-election-id") {
		t.Errorf("the log does not name the flag:\n%s", o.log())
	}
	o = stranger.start(t, nil, append(args, "--leader-election-id=chosen")...)
	o.serves(t, "/healthz")
	if !strings.Contains(o.log(), system+"/chosen") {
		t.Errorf("the log does not name the lock:\n%s", o.log())
	}
}

// Wrong flags are told in one line, before anything is done.
func (c *cluster) testBadFlags(t *testing.T) {
	for _, tt := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"--no-such-flag"}, 2, "flag provided but not defined: -no-such-flag"},
		{[]string{"now"}, 2, "unexpected arguments (1)"},
		{[]string{"--mongodb-uri-file=" + writeFile(t, servertest.MongoDBURI()), "--leader-election-lease-duration=10s"}, 2,
			"LeaseDuration 10s must be at least"},
	} {
		o := c.start(t, nil, tt.args...)
		o.ends(t, tt.code)
		if !strings.Contains(o.log(), tt.want) {
			t.Errorf("%q: no %q in\n%s", tt.args, tt.want, o.log())
		}
	}
}
