/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

// Command example-operator is a small operator with any number of replicas, whose leader is elected through MongoDB. It stamps each
// ConfigMap that has the label example with the fencing token of the leader that saw it last.
package main

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
	"sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/mongolock/operator/pkg/mongolock"
	"github.com/mongolock/operator/pkg/resourcelock"
)

func main() {
	ctrl.SetLogger(zap.New())
	if err := run(ctrl.SetupSignalHandler()); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1) // also when leadership was lost: whoever starts us again makes us a candidate
	}
}

func run(ctx context.Context) error {
	locks, err := mongolock.Connect(ctx, os.Getenv("MONGODB_URI"),
		mongolock.WithDatabase(cmp.Or(os.Getenv("MONGODB_DATABASE"), mongolock.DefaultDatabase)))
	if err != nil {
		return err
	}
	opts := ctrl.Options{Metrics: server.Options{BindAddress: "0"}}
	lock, err := resourcelock.ConfigureManager(&opts, locks, resourcelock.Config{Namespace: "default", Name: "example-operator"})
	if err != nil {
		return err
	}
	config, err := ctrl.GetConfig()
	if err != nil {
		return err
	}
	config.Wrap(lock.WrapTransport) // what is written to Kubernetes after the term of leadership is refused
	mgr, err := ctrl.NewManager(config, opts)
	if err != nil {
		return err
	}
	stamp := &stamper{client: mgr.GetClient(), lock: lock}
	if err := ctrl.NewControllerManagedBy(mgr).For(&corev1.ConfigMap{}).Complete(stamp); err != nil {
		return err
	}
	if err := lock.Run(ctx, mgr); err != nil { // like mgr.Start, and ends at once when leadership is lost
		return err
	}
	return locks.Close(context.WithoutCancel(ctx))
}

// stamper is the controller.
type stamper struct {
	client client.Client
	lock   *resourcelock.Lock
}

// Reconcile implements reconcile.Reconciler.
func (s *stamper) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	var object corev1.ConfigMap
	if err := s.client.Get(ctx, request.NamespacedName, &object); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	token, leading := s.lock.Token()
	if _, ours := object.Labels["example"]; !ours || !leading || object.Annotations["token"] == strconv.FormatInt(token, 10) {
		return ctrl.Result{}, nil
	}
	old := object.DeepCopy()
	if object.Annotations == nil {
		object.Annotations = map[string]string{}
	}
	object.Annotations["token"] = strconv.FormatInt(token, 10)
	return ctrl.Result{}, s.client.Patch(ctx, &object, client.MergeFrom(old))
}
