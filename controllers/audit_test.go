/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package controllers

import (
	"testing"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

// recordingQueue is a queue that only remembers what was put into it.
type recordingQueue struct {
	workqueue.TypedRateLimitingInterface[reconcile.Request]
	woken []reconcile.Request
}

func (q *recordingQueue) AddAfter(request reconcile.Request, _ time.Duration) {
	q.woken = append(q.woken, request)
}

// The audit wakes objects whose status is not what it should be, and no others.
func TestAudit(t *testing.T) {
	r := newReconciling(t, true, mirrored(acquiredByA))
	r.see(healthy, acquiredByA)
	queue := &recordingQueue{}
	wake := newWaker(r.client, r.clock, logr.Discard())
	if err := wake.attach(t.Context(), queue); err != nil {
		t.Fatal(err)
	}
	a := &audit{Reconciler: r.Reconciler, wake: wake}
	a.wakeDifferent(t.Context())
	if len(queue.woken) > 0 {
		t.Errorf("%v were woken although all is well", queue.woken)
	}
	edited := r.object()
	edited.Status.Holder = "nobody"
	if err := r.client.Status().Update(t.Context(), edited); err != nil {
		t.Fatal(err)
	}
	a.wakeDifferent(t.Context())
	if len(queue.woken) != 1 || queue.woken[0].NamespacedName != r.key {
		t.Errorf("%v were woken", queue.woken)
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
