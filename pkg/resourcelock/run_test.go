/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package resourcelock

import (
	"context"
	"errors"
	"testing"
	"time"

	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/mongolock/operator/hack/servers/servertest"
	"github.com/mongolock/operator/pkg/mongolock"
)

// A leader that has lost must not work on because one of its runnables does not stop: Run returns at once, so that the process can exit.
func TestRunReturnsAfterALossWithAStuckRunnable(t *testing.T) {
	s := newStore(t)
	client := s.client()
	opts := manager.Options{
		LeaseDuration: new(testLease), RenewDeadline: new(testRenewDeadline), RetryPeriod: new(testRetryPeriod),
		Metrics: metricsserver.Options{BindAddress: "0"},
	}
	lock, err := ConfigureManager(&opts, client, Config{Namespace: testNamespace, Name: testName})
	if err != nil {
		t.Fatal(err)
	}
	config, err := clientcmd.BuildConfigFromFlags("", servertest.Kubeconfig())
	if err != nil {
		t.Fatal(err)
	}
	mgr, err := manager.New(config, opts)
	if err != nil {
		t.Fatal(err)
	}
	working, exit := make(chan struct{}), make(chan struct{})
	defer close(exit) // what the process's end would do
	if err := mgr.Add(manager.RunnableFunc(func(context.Context) error {
		close(working)
		<-exit
		return nil
	})); err != nil {
		t.Fatal(err)
	}
	result := make(chan error, 1)
	go func() { result <- lock.Run(t.Context(), mgr) }()
	within(t, slow, working, "leadership")
	s.delete()
	select {
	case err := <-result:
		if !errors.Is(err, mongolock.ErrLeaseLost) {
			t.Errorf("Run: %v, want ErrLeaseLost", err)
		}
	case <-time.After(testLease + slow):
		t.Error("Run has not returned after the loss")
	}
}

// Somebody switches leader election off again: the manager is not started, or it is stopped.
func TestRunRefusesAManagerWithoutElection(t *testing.T) {
	config, err := clientcmd.BuildConfigFromFlags("", servertest.Kubeconfig())
	if err != nil {
		t.Fatal(err)
	}
	for name, seen := range map[string]bool{"in the options that it was made with": true, "in a copy of them": false} {
		t.Run(name, func(t *testing.T) {
			opts := manager.Options{Metrics: metricsserver.Options{BindAddress: "0"}}
			lock, err := ConfigureManager(&opts, newStore(t).client(), Config{Namespace: testNamespace, Name: testName})
			if err != nil {
				t.Fatal(err)
			}
			wrong := opts
			wrong.LeaderElection = false
			if seen {
				opts = wrong
			}
			mgr, err := manager.New(config, wrong)
			if err != nil {
				t.Fatal(err)
			}
			worked := make(chan struct{})
			if err := mgr.Add(manager.RunnableFunc(func(ctx context.Context) error {
				close(worked)
				<-ctx.Done()
				return nil
			})); err != nil {
				t.Fatal(err)
			}
			if err := lock.Run(t.Context(), mgr); !errors.Is(err, mongolock.ErrInvalid) {
				t.Errorf("Run: %v, want ErrInvalid", err)
			}
			if seen && isClosed(worked) {
				t.Error("the work has begun")
			}
		})
	}
}
