/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package controllers

import (
	"fmt"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/mongolock/operator/api/v1alpha1"
)

// writes counts the changes of an object, from now on.
type writes struct {
	mu    sync.Mutex
	count map[string]int
}

func (w *writes) of(name string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.count[name]
}

// watchWrites counts every change of the namespace's objects, whoever makes it, as the API server tells of it.
func (e *env) watchWrites() *writes {
	e.Helper()
	list := &v1alpha1.DistributedLockList{}
	if err := e.api.List(e.Context(), list, client.InNamespace(e.namespace)); err != nil {
		e.Fatal(err)
	}
	watcher, err := e.api.Watch(e.Context(), list, client.InNamespace(e.namespace),
		&client.ListOptions{Raw: &metav1.ListOptions{ResourceVersion: list.ResourceVersion}})
	if err != nil {
		e.Fatal(err)
	}
	w := &writes{count: map[string]int{}}
	var reading sync.WaitGroup
	reading.Go(func() {
		for event := range watcher.ResultChan() {
			if lock, ok := event.Object.(*v1alpha1.DistributedLock); ok && event.Type == watch.Modified {
				w.mu.Lock()
				w.count[lock.Name]++
				w.mu.Unlock()
			}
		}
	})
	e.Cleanup(func() {
		watcher.Stop()
		reading.Wait()
	})
	return w
}

// unchanged fails if the objects have been, or within quiet are, written another number of times than want. The watch may tell of a
// write later than a read shows it.
func (e *env) unchanged(w *writes, want int, names ...string) {
	e.Helper()
	for _, name := range names {
		e.eventually(soon, fmt.Sprintf("%s was written %d times", name, want), func() bool { return w.of(name) >= want })
	}
	deadline := time.Now().Add(quiet)
	for time.Now().Before(deadline) {
		for _, name := range names {
			if got := w.of(name); got != want {
				e.Fatalf("%s was written %d times, want %d", name, got, want)
			}
		}
		time.Sleep(tick)
	}
}
