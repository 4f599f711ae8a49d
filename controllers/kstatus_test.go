/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package controllers

import (
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/cli-utils/pkg/kstatus/status"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/mongolock/operator/api/v1alpha1"
	"github.com/mongolock/operator/hack/servers/servertest"
	"github.com/mongolock/operator/pkg/mongolock"
)

// What tools that wait for objects, such as Flux, Argo CD and kpt, make of the objects.
func TestKstatus(t *testing.T) {
	held := mirrored(acquiredByA)
	changed := mirrored(acquiredByA)
	changed.Generation++
	pending := newLock("")
	pending.Spec.Capacity = ptr.To(int32(2))
	for _, tt := range []struct {
		name  string
		lock  *v1alpha1.DistributedLock
		view  View
		claim claim
		want  status.Status
	}{
		{"nobody has seen it", newLock(""), View{}, claim{}, status.InProgressStatus},
		{"held", held, View{State: acquiredByA, Health: healthy}, claim{}, status.CurrentStatus},
		{"free", newLock(""), View{State: mongolock.State{}, Health: healthy}, claim{}, status.CurrentStatus},
		{"the spec has changed", changed, View{}, claim{}, status.InProgressStatus},
		{"policy pending", pending, View{State: acquiredByA, PolicyPending: true, Health: healthy}, claim{}, status.InProgressStatus},
		{"outage", held, View{State: acquiredByA, Health: failed}, claim{}, status.InProgressStatus},
		{"stalled", held, View{State: acquiredByA, Health: healthy}, claim{v1alpha1.ReasonDuplicateID, "Twice."}, status.FailedStatus},
		{"foreign document", newLock(""), View{Foreign: true, Health: healthy}, claim{}, status.FailedStatus},
	} {
		t.Run(tt.name, func(t *testing.T) {
			lock := tt.lock.DeepCopy()
			if tt.view.Health.Phase != Settling {
				lock.Status = desiredStatus(lock, tt.view, tt.claim, t0)
			}
			if got := compute(t, lock); got != tt.want {
				t.Errorf("got %s, want %s of %+v", got, tt.want, lock.Status)
			}
		})
	}
}

func compute(t *testing.T, lock *v1alpha1.DistributedLock) status.Status {
	t.Helper()
	fields, err := runtime.DefaultUnstructuredConverter.ToUnstructured(lock)
	if err != nil {
		t.Fatal(err)
	}
	result, err := status.Compute(&unstructured.Unstructured{Object: fields})
	if err != nil {
		t.Fatal(err)
	}
	return result.Status
}

// The same with what is really stored.
func TestKstatusOfStoredObjects(t *testing.T) {
	e := newEnv(t)
	e.create("one", "")
	e.create("two", e.namespace+"/one")
	e.computes("one", status.InProgressStatus)
	e.operate(servertest.MongoDBURI())
	e.shows(soon, "one", "Ready True/Mirrored")
	e.shows(soon, "two", "Stalled True/DuplicateId")
	e.computes("one", status.CurrentStatus)
	e.computes("two", status.FailedStatus)
}

func (e *env) computes(name string, want status.Status) {
	e.Helper()
	stored := &unstructured.Unstructured{}
	stored.SetGroupVersionKind(schema.GroupVersionKind{Group: v1alpha1.GroupVersion.Group, Version: v1alpha1.GroupVersion.Version, Kind: "DistributedLock"})
	if err := e.api.Get(e.Context(), client.ObjectKey{Namespace: e.namespace, Name: name}, stored); err != nil {
		e.Fatal(err)
	}
	result, err := status.Compute(stored)
	if err != nil || result.Status != want {
		e.Errorf("%s is %+v, %v, want %s", name, result, err, want)
	}
}
