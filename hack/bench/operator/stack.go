//go:build linux

/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	kube "sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/mongolock/operator/api/v1alpha1"
	"github.com/mongolock/operator/hack/bench/gauge"
	"github.com/mongolock/operator/hack/child"
	"github.com/mongolock/operator/hack/faultproxy"
	"github.com/mongolock/operator/hack/manager"
	"github.com/mongolock/operator/hack/screen"
	"github.com/mongolock/operator/hack/servers"
	"github.com/mongolock/operator/pkg/mongolock"
)

const (
	namespace  = "bench"
	namePrefix = "lock-"
	// operatorNamespace is where the operator says that it was elected.
	operatorNamespace = "mongolock-system"
	// closeTimeout bounds the end of a connection.
	closeTimeout = 10 * time.Second
	// creators is how many objects are made at a time.
	creators = 16
)

func objectName(i int) string { return fmt.Sprintf("%s%05d", namePrefix, i) }

// lockID is the default id of that object's lock.
func lockID(i int) string { return namespace + "/" + objectName(i) }

func indexOf(name string) (int, bool) {
	digits, ok := strings.CutPrefix(name, namePrefix)
	i, err := strconv.Atoi(digits)
	return i, ok && err == nil
}

// stack is everything that the operator and the clients work with.
type stack struct {
	kubeconfig, apiHost string
	uri, database       string
	product             string            // of the MongoDB
	proxy               *faultproxy.Proxy // between the operator and MongoDB; clients have no part in it
	api                 kube.WithWatch    // of the benchmark
	apiHTTP             *http.Client      // for the API server's metrics
	locks               *mongolock.Client // to read what MongoDB has
	binary              string            // the operator
	stops               []func() error
}

func startStack(ctx context.Context, s *screen.Screen, out string) (*stack, error) {
	k := &stack{database: fmt.Sprintf("operator_%d", time.Now().UnixNano()), binary: filepath.Join(out, "manager")}
	for _, step := range []func(context.Context, *screen.Screen) error{k.startServers, k.connectMongoDB, k.connectKubernetes} {
		if err := step(ctx, s); err != nil {
			return nil, errors.Join(err, k.close())
		}
	}
	return k, nil
}

func (k *stack) onStop(stop func() error) { k.stops = append(k.stops, stop) }

func (k *stack) close() error {
	var errs []error
	for i := len(k.stops) - 1; i >= 0; i-- {
		errs = append(errs, k.stops[i]())
	}
	k.stops = nil
	return errors.Join(errs...)
}

// startServers starts MongoDB and Kubernetes and builds the operator, all at the same time.
func (k *stack) startServers(ctx context.Context, s *screen.Screen) error {
	// Another operator in an existing cluster would write to the same objects.
	if err := os.Unsetenv("USE_EXISTING_CLUSTER"); err != nil {
		return err
	}
	var mongoDB, kubernetes *servers.Server
	var errs [3]error
	var steps sync.WaitGroup
	steps.Go(func() { mongoDB, errs[0] = servers.StartMongoDB(ctx) })
	steps.Go(func() { kubernetes, errs[1] = servers.StartKubernetes(ctx) })
	steps.Go(func() { errs[2] = manager.Build(ctx, k.binary, s.Say) })
	steps.Wait()
	for _, server := range []*servers.Server{mongoDB, kubernetes} {
		if server != nil {
			k.onStop(server.Stop)
		}
	}
	if err := errors.Join(errs[:]...); err != nil {
		return err
	}
	k.uri, k.kubeconfig = mongoDB.Address(), kubernetes.Address()
	return nil
}

func (k *stack) connectMongoDB(ctx context.Context, _ *screen.Screen) error {
	var err error
	if k.proxy, err = faultproxy.Start(k.uri); err != nil {
		return err
	}
	k.onStop(func() error { k.proxy.Close(); return nil })
	driver, err := mongo.Connect(options.Client().ApplyURI(k.uri))
	if err != nil {
		return errors.New("the connection string of MongoDB cannot be used: check MONGODB_URI")
	}
	k.onStop(func() error {
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
		defer cancel()
		return errors.Join(driver.Database(k.database).Drop(closing), driver.Disconnect(closing))
	})
	if k.product, err = gauge.Product(ctx, driver); err != nil {
		return err
	}
	if k.locks, err = mongolock.New(ctx, driver.Database(k.database)); err != nil {
		return err
	}
	k.onStop(func() error {
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
		defer cancel()
		return k.locks.Close(closing)
	})
	return nil
}

func (k *stack) connectKubernetes(ctx context.Context, _ *screen.Screen) error {
	config, err := clientcmd.BuildConfigFromFlags("", k.kubeconfig)
	if err != nil {
		return err
	}
	config.QPS = -1 // no limit
	k.apiHost = config.Host
	if k.apiHTTP, err = rest.HTTPClientFor(config); err != nil {
		return err
	}
	scheme := runtime.NewScheme()
	if err := errors.Join(corev1.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)); err != nil {
		return err
	}
	if err := manager.InstallCRDs(ctx, k.kubectl); err != nil {
		return err
	}
	if k.api, err = kube.NewWithWatch(config, kube.Options{Scheme: scheme}); err != nil {
		return err
	}
	for _, name := range []string{namespace, operatorNamespace} {
		if err := k.api.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}); err != nil {
			return err
		}
	}
	return nil
}

func (k *stack) kubectl(ctx context.Context, args ...string) (string, error) {
	path, err := servers.Kubectl()
	if err != nil {
		return "", err
	}
	cache := filepath.Join(filepath.Dir(k.binary), "kubectl-cache") // not in the user's home
	out, err := child.Output(ctx, exec.Command(path, append([]string{"--kubeconfig=" + k.kubeconfig, "--cache-dir=" + cache}, args...)...))
	return string(out), errors.Join(err, os.RemoveAll(cache))
}

// create makes the objects from one index to another.
func (k *stack) create(ctx context.Context, from, to int) error {
	errs := make([]error, creators)
	var creating sync.WaitGroup
	for c := range creators {
		creating.Go(func() {
			for i := from + c; i < to && errs[c] == nil; i += creators {
				errs[c] = k.api.Create(ctx, &v1alpha1.DistributedLock{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: objectName(i)}})
			}
		})
	}
	creating.Wait()
	return errors.Join(errs...)
}
