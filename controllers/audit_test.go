/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package controllers

import (
	"testing"

	"github.com/go-logr/logr"
	"sigs.k8s.io/controller-runtime/pkg/controller/priorityqueue"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

// The audit wakes objects whose status is not what it should be, and no others.
func TestAudit(t *testing.T) {
	r := newReconciling(t, true, mirrored(acquiredByA))
	r.see(healthy, acquiredByA)
	queue := priorityqueue.New[reconcile.Request]("test-audit")
	t.Cleanup(queue.ShutDown)
	wake := &waker{cache: r.client, log: logr.Discard()}
	if err := wake.attach(t.Context(), queue); err != nil {
		t.Fatal(err)
	}
	a := &audit{Reconciler: r.Reconciler, wake: wake}
	a.wakeDifferent(t.Context())
	if n := queue.Len(); n > 0 {
		t.Errorf("%d objects were woken although all is well", n)
	}
	edited := r.object()
	edited.Status.Holder = "nobody"
	if err := r.client.Status().Update(t.Context(), edited); err != nil {
		t.Fatal(err)
	}
	a.wakeDifferent(t.Context())
	request, _ := queue.Get()
	queue.Done(request)
	if request.NamespacedName != r.key {
		t.Errorf("woke %s", request)
	}
	if lock, written := r.pass(); !written || lock.Status.Holder != "a" {
		t.Errorf("the status was not repaired: %+v", lock.Status)
	}
	// A lock that is not there is looked up again: a foreign document may have come.
	r.mirror.mu.Lock()
	delete(r.mirror.locks, "orders/report")
	r.mirror.mu.Unlock()
	a.wakeDifferent(t.Context())
	if _, asked := r.mirror.asked["orders/report"]; !asked {
		t.Error("an absent lock is not looked up")
	}
}
