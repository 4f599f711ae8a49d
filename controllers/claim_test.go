/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package controllers

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/mongolock/operator/api/v1alpha1"
	"github.com/mongolock/operator/hack/servers/servertest"
)

func TestClaims(t *testing.T) {
	object := func(namespace, name string, age time.Duration, id string, labels map[string]string) *v1alpha1.DistributedLock {
		lock := newLock(id)
		lock.Namespace, lock.Name, lock.UID, lock.Labels = namespace, name, types.UID(namespace+name), labels
		lock.CreationTimestamp.Time = t0.Truncate(time.Second).Add(-age) // as the API server has it
		return lock
	}
	discovered := map[string]string{v1alpha1.DiscoveredLabel: "true"}
	policy := object("found", "touched", 0, "orders/x", discovered)
	policy.Spec.Suspend = ptr.To(true)
	election, watched := object("system", "operator", 0, "", nil), object("system", "operator", 0, "", nil)
	election.Spec.Suspend = ptr.To(true)
	second := object("system", "z", 0, "system/operator", nil)
	leaving := object("orders", "report", time.Hour, "", nil)
	leaving.DeletionTimestamp, leaving.Finalizers = &metav1.Time{Time: t0}, []string{v1alpha1.PolicyFinalizer}
	const own, foreign, found, young, old = "orders/report", "elsewhere/lock", "found/lock", 0, time.Hour
	for _, tt := range []struct {
		name         string
		lock, other  *v1alpha1.DistributedLock
		allowForeign bool
		want         string
	}{
		{"own id", object("orders", "report", old, "", nil), nil, false, ""},
		{"foreign id", object("orders", "a", old, foreign, nil), nil, false, "IdNotAllowed"},
		{"foreign id allowed", object("orders", "a", old, foreign, nil), nil, true, ""},
		{"discovered", object("found", "a", old, foreign, discovered), nil, false, ""},
		{"a label alone", object("orders", "a", old, foreign, discovered), nil, false, "IdNotAllowed"},
		{"discovered with a policy", policy, nil, false, "ReadOnly"},
		{"younger", object("orders", "b", young, own, nil), object("orders", "report", old, "", nil), false, "DuplicateId"},
		{"older", object("orders", "report", old, "", nil), object("orders", "b", young, own, nil), false, ""},
		{"younger, and the other is being deleted", object("orders", "b", young, own, nil), leaving, false, ""},
		{"the operator's election", watched, nil, false, ""},
		{"the operator's election, with a policy", election, nil, false, "ReadOnly"},
		{"the operator's election, and another with a policy", second, election, false, ""},
		{"as old, later name", object("orders", "z", old, own, nil), object("orders", "report", old, "", nil), false, "DuplicateId"},
		{"as old, earlier name", object("orders", "a", old, own, nil), object("orders", "report", old, "", nil), false, ""},
		{"older, but of another namespace", object("thief", "a", old, own, nil), object("orders", "report", young, "", nil), true, "DuplicateId"},
		{"younger, but of the lock's namespace", object("orders", "report", young, "", nil), object("thief", "a", old, own, nil), true, ""},
		{"the other is not allowed", object("orders", "report", young, "", nil), object("thief", "a", old, own, nil), false, ""},
		{"discovered and declared", object("found", "a", old, own, discovered), object("orders", "report", young, "", nil), false, "DuplicateId"},
		{"discovered, of its own namespace", object("found", "a", old, found, discovered), object("found", "b", young, found, nil), false, "DuplicateId"},
		{"declared and discovered", object("orders", "report", young, "", nil), object("found", "a", old, own, discovered), false, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			builder := fake.NewClientBuilder().WithScheme(scheme).WithIndex(tt.lock, lockIDIndex, lockIDs).WithObjects(tt.lock)
			if tt.other != nil {
				builder.WithObjects(tt.other)
			}
			c := &claims{objects: builder.Build(), allowForeignIDs: tt.allowForeign, discovery: "found", election: "system/operator"}
			got, err := c.of(t.Context(), tt.lock)
			if err != nil || got.reason != tt.want || (got.message == "") != (tt.want == "") {
				t.Errorf("got %+v, %v, want %q", got, err, tt.want)
			}
		})
	}
}

// Of two objects with one id one mirrors the lock; the other says so, and takes over when the first is deleted.
func TestTwoObjectsOfOneLock(t *testing.T) {
	e := newEnv(t)
	e.operate(servertest.MongoDBURI())
	e.create("a", e.namespace+"/shared")
	e.shows(soon, "a", "Ready True/Mirrored")
	e.create("b", e.namespace+"/shared")
	e.shows(soon, "b", "Ready False/DuplicateId", "Stalled True/DuplicateId", "Held Unknown/NotMirrored")
	e.patch("b", `{"spec":{"capacity":7}}`)
	e.eventually(soon, "the generation is seen", func() bool { lock := e.get("b"); return lock.Status.ObservedGeneration == lock.Generation })
	if _, err := e.locks.TryLock(t.Context(), e.namespace+"/shared"); err != nil {
		t.Fatal(err)
	}
	if s := e.shows(prompt, "a", "Held True/Acquired").Status; s.Capacity != 1 {
		t.Errorf("the object without a claim has set the capacity to %d", s.Capacity)
	}
	e.kubectl("describe dlock b", `Reason: +DuplicateId`, `The object `+e.namespace+`/a mirrors the same lock`)
	e.remove("a")
	e.eventually(soon, "the other takes over", func() bool { s := e.get("b").Status; return s.Capacity == 7 && s.State == "Held" })
	e.shows(soon, "b", "Ready True/Mirrored", "Stalled absent", "Held True/Acquired")
}
