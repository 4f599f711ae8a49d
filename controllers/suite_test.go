/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package controllers

import (
	"context"
	"flag"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	controllerconfig "sigs.k8s.io/controller-runtime/pkg/config"
	ctrllog "sigs.k8s.io/controller-runtime/pkg/log"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/mongolock/operator/api/v1alpha1"
	"github.com/mongolock/operator/hack/servers"
	"github.com/mongolock/operator/hack/servers/servertest"
	"github.com/mongolock/operator/pkg/mongolock"
	"github.com/mongolock/operator/pkg/resourcelock"
)

const (
	// soon is how long anything may take that has no limit of its own.
	soon = 20 * time.Second
	// prompt is how soon a transition must show, on a machine that does a lot besides. How soon it does is measured in hack/bench/operator.
	prompt = 10 * time.Second
	// quiet is how long nothing must happen for it to count as nothing.
	quiet = 2 * time.Second
	tick  = 20 * time.Millisecond
)

func TestMain(m *testing.M) {
	ctrllog.SetLogger(logr.Discard())
	// The tests wait most of the time, so more of them run at once than there are processors; -parallel still wins.
	if err := flag.Set("test.parallel", "5"); err != nil {
		panic(err)
	}
	servertest.Run(m, servertest.MongoDB, servertest.Kubernetes)
}

var scheme = func() *runtime.Scheme {
	s := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(s); err != nil {
			panic(err)
		}
	}
	return s
}()

// install puts the CRD into the API server, once.
var install = sync.OnceValue(func() error {
	for _, args := range [][]string{
		{"apply", "--server-side", "-f", "../config/crd/bases"},
		{"wait", "--for=condition=Established", "crd/distributedlocks.locks.mongolock.dev", "--timeout=20s"},
	} {
		if out, err := runKubectl(context.Background(), args...); err != nil {
			return fmt.Errorf("kubectl %v: %w\n%s", args, err, out)
		}
	}
	return nil
})

func runKubectl(ctx context.Context, args ...string) (string, error) {
	path, err := servers.Kubectl()
	if err != nil {
		return "", err
	}
	out, err := exec.CommandContext(ctx, path, append([]string{"--kubeconfig", servertest.Kubeconfig()}, args...)...).CombinedOutput()
	return string(out), err
}

// env is what one test works in: a namespace and a database of its own.
type env struct {
	*testing.T
	config    *rest.Config
	api       client.WithWatch
	namespace string
	database  string
	locks     *mongolock.Client // a user of locks, not the operator
}

func newEnv(t *testing.T) *env {
	t.Helper()
	t.Parallel()
	if err := install(); err != nil {
		t.Fatal(err)
	}
	e := &env{T: t, database: servertest.Database(t)}
	var err error
	if e.config, err = clientcmd.BuildConfigFromFlags("", servertest.Kubeconfig()); err != nil {
		t.Fatal(err)
	}
	e.config.QPS = -1
	transport, err := rest.TransportFor(e.config) // client-go shares one among all clients of a configuration
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { utilnet.CloseIdleConnectionsFor(transport) })
	if e.api, err = client.NewWithWatch(e.config, client.Options{Scheme: scheme}); err != nil {
		t.Fatal(err)
	}
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "test-"}}
	if err := e.api.Create(t.Context(), ns); err != nil {
		t.Fatal(err)
	}
	e.namespace = ns.Name
	e.locks = e.connect(servertest.MongoDBURI())
	return e
}

// connect makes a client of the locks that is closed when the test ends.
func (e *env) connect(uri string) *mongolock.Client {
	e.Helper()
	c, err := mongolock.Connect(e.Context(), uri, mongolock.WithDatabase(e.database), mongolock.WithMinLease(200*time.Millisecond),
		mongolock.WithDeferredCheck())
	if err != nil {
		e.Fatal(err)
	}
	e.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(e.Context()), soon)
		defer cancel()
		if err := c.Close(ctx); err != nil {
			e.Errorf("close the client: %v", err)
		}
	})
	return c
}

// operator runs a manager with the controller until stop is called or the test ends.
type operator struct {
	stop    func()
	elected <-chan struct{}
}

type operatorOptions struct {
	store        Store
	election     *mongolock.Client // nil: it leads without an election
	allowForeign bool
	standbyDelay time.Duration
	discover     bool         // in the test's namespace
	config       *rest.Config // nil: the test's
}

func (e *env) start(o operatorOptions) *operator {
	e.Helper()
	opts := ctrl.Options{
		Scheme:                 scheme,
		Logger:                 e.logger(),
		Metrics:                metricsserver.Options{BindAddress: "0"},
		HealthProbeBindAddress: "0",
		Controller:             controllerconfig.Controller{SkipNameValidation: ptr.To(true)},
	}
	// Operators of other tests, with other databases, run at the same time.
	opts.Cache.DefaultNamespaces = map[string]cache.Config{e.namespace: {}}
	if o.election != nil {
		if _, err := resourcelock.ConfigureManager(&opts, o.election, resourcelock.Config{Namespace: e.namespace, Name: "operator"}); err != nil {
			e.Fatal(err)
		}
	}
	config := e.config
	if o.config != nil {
		config = o.config
	}
	mgr, err := ctrl.NewManager(config, opts)
	if err != nil {
		e.Fatal(err)
	}
	ctx, cancel := context.WithCancel(e.Context())
	options := Options{Store: o.store, AllowForeignIDs: o.allowForeign, StandbyDelay: o.standbyDelay}
	if o.discover {
		options.MirrorUndeclared = e.namespace
	}
	if err := Setup(ctx, mgr, options); err != nil {
		cancel()
		e.Fatal(err)
	}
	var running sync.WaitGroup
	running.Go(func() {
		if err := mgr.Start(ctx); err != nil {
			e.Errorf("the manager ended: %v", err)
		}
	})
	stop := sync.OnceFunc(func() {
		cancel()
		running.Wait()
	})
	e.Cleanup(stop)
	return &operator{stop: stop, elected: mgr.Elected()}
}

// operate runs an operator that leads and reads the store at uri.
func (e *env) operate(uri string) *operator {
	e.Helper()
	return e.start(operatorOptions{store: NewStore(e.connect(uri))})
}

// logger shows the operator's log if the test fails.
func (e *env) logger() logr.Logger {
	return funcr.New(func(prefix, args string) {
		if e.Context().Err() == nil {
			e.Log(prefix, args)
		}
	}, funcr.Options{})
}

// create makes an object; id "" is the default id.
func (e *env) create(name, id string) {
	e.Helper()
	lock := &v1alpha1.DistributedLock{ObjectMeta: metav1.ObjectMeta{Namespace: e.namespace, Name: name}, Spec: v1alpha1.DistributedLockSpec{ID: id}}
	if err := e.api.Create(e.Context(), lock); err != nil {
		e.Fatal(err)
	}
}

// get reads an object.
func (e *env) get(name string) *v1alpha1.DistributedLock {
	e.Helper()
	lock := &v1alpha1.DistributedLock{}
	if err := e.api.Get(e.Context(), client.ObjectKey{Namespace: e.namespace, Name: name}, lock); err != nil {
		e.Fatal(err)
	}
	return lock
}

// acquire takes the lock that is the default one of the object name.
func (e *env) acquire(name string, opts ...mongolock.LockOption) *mongolock.Lease {
	e.Helper()
	lease, err := e.locks.TryLock(e.Context(), e.namespace+"/"+name, opts...)
	if err != nil {
		e.Fatal(err)
	}
	return lease
}

func (e *env) release(lease *mongolock.Lease) {
	e.Helper()
	if err := lease.Unlock(e.Context()); err != nil {
		e.Fatal(err)
	}
}

// eventually waits until what holds.
func (e *env) eventually(within time.Duration, what string, holds func() bool) {
	e.Helper()
	eventually(e.T, within, what, holds)
}

func eventually(t *testing.T, within time.Duration, what string, holds func() bool) {
	t.Helper()
	deadline := time.Now().Add(within)
	for !holds() {
		if time.Now().After(deadline) {
			t.Fatalf("not within %s: %s", within, what)
		}
		select {
		case <-t.Context().Done():
			t.Fatal(t.Context().Err())
		case <-time.After(tick):
		}
	}
}

// shows waits until the object's conditions are as wanted, such as "Ready True/Mirrored", and returns it.
func (e *env) shows(within time.Duration, name string, want ...string) *v1alpha1.DistributedLock {
	e.Helper()
	var lock *v1alpha1.DistributedLock
	e.eventually(within, fmt.Sprintf("%s shows %q", name, want), func() bool {
		lock = e.get(name)
		return !slices.ContainsFunc(want, func(w string) bool {
			kind, value, _ := strings.Cut(w, " ")
			return conditionOf(lock.Status, kind) != value
		})
	})
	return lock
}

// events are the Kubernetes events about an object, in order, as "reason: note".
func (e *env) events(name string) []string {
	e.Helper()
	var list eventsv1.EventList
	if err := e.api.List(e.Context(), &list, client.InNamespace(e.namespace)); err != nil {
		e.Fatal(err)
	}
	slices.SortFunc(list.Items, func(a, b eventsv1.Event) int { return a.EventTime.Compare(b.EventTime.Time) })
	var notes []string
	for _, event := range list.Items {
		if event.Regarding.Name == name {
			notes = append(notes, event.Reason+": "+event.Note)
		}
	}
	return notes
}

// reports waits until exactly these events are there.
func (e *env) reports(name string, want ...string) {
	e.Helper()
	var got []string
	defer func() {
		if e.Failed() {
			e.Logf("events of %s: %q", name, got)
		}
	}()
	e.eventually(soon, fmt.Sprintf("%s has the events %q", name, want), func() bool {
		got = e.events(name)
		return slices.Equal(got, want)
	})
}
