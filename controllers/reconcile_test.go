/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package controllers

import (
	"context"
	"testing"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	clocktesting "k8s.io/utils/clock/testing"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/event"

	"github.com/go-logr/logr"

	"github.com/mongolock/operator/api/v1alpha1"
	"github.com/mongolock/operator/pkg/mongolock"
)

// reconciling is a reconciler of one object, without an API server; its mirror is set by hand.
type reconciling struct {
	*testing.T
	*Reconciler
	clock  *clocktesting.FakeClock
	events *events.FakeRecorder
	key    types.NamespacedName
}

func newReconciling(t *testing.T, leads bool, lock *v1alpha1.DistributedLock) *reconciling {
	t.Helper()
	elected := make(chan struct{})
	if leads {
		close(elected)
	}
	recorder := events.NewFakeRecorder(100)
	clk := clocktesting.NewFakeClock(t0)
	api := fake.NewClientBuilder().WithScheme(scheme).WithObjects(lock).WithStatusSubresource(lock).
		WithIndex(&v1alpha1.DistributedLock{}, lockIDIndex, lockIDs).Build()
	return &reconciling{T: t, clock: clk, events: recorder, key: client.ObjectKeyFromObject(lock), Reconciler: &Reconciler{
		client: api, recorder: recorder, claims: &claims{objects: api}, clock: clk, elected: elected, memory: newMemory(), budget: newEventBudget(clk),
		mirror: newMirror(nil, clk, logr.Discard(), newWaker(api, clk, logr.Discard())),
	}}
}

// pass reconciles and returns the object, and whether it was written.
func (r *reconciling) pass() (*v1alpha1.DistributedLock, bool) {
	r.Helper()
	before := r.object()
	if _, err := r.Reconcile(r.Context(), ctrl.Request{NamespacedName: r.key}); err != nil {
		r.Fatal(err)
	}
	after := r.object()
	return after, before.ResourceVersion != after.ResourceVersion
}

func (r *reconciling) object() *v1alpha1.DistributedLock {
	r.Helper()
	lock := &v1alpha1.DistributedLock{}
	if err := r.client.Get(r.Context(), r.key, lock); err != nil {
		r.Fatal(err)
	}
	return lock
}

// see sets what the mirror sees.
func (r *reconciling) see(h Health, state mongolock.State) {
	r.mirror.mu.Lock()
	defer r.mirror.mu.Unlock()
	r.mirror.health = h
	if state.Exists {
		r.mirror.locks[state.ID] = state
	}
}

var acquiredByA = lockState([]mongolock.Event{transition(1, mongolock.EventAcquired, "a", 7)}, "a")

// Somebody else's write, or our own one that the cache has not seen, is no error: nothing is written or reported, and the object is
// looked at again.
func TestConflict(t *testing.T) {
	r := newReconciling(t, true, newLock(""))
	r.see(healthy, acquiredByA)
	stale := r.object()
	if _, written := r.pass(); !written {
		t.Fatal("not written")
	}
	<-r.events.Events
	done, err := r.write(t.Context(), stale, r.mirror.View(stale.LockID()), claim{})
	if done || err != nil {
		t.Errorf("done %t, error %v", done, err)
	}
	if len(r.events.Events) > 0 {
		t.Errorf("reported %q again", <-r.events.Events)
	}
}

// A change that goes back before the cache has our write of it is written all the same.
func TestLateCache(t *testing.T) {
	suspended := acquiredByA
	suspended.Policy.Suspended = true
	r := newReconciling(t, true, newLock(""))
	r.see(healthy, acquiredByA)
	r.pass()
	late := lateCache{r.client, r.object()}
	r.see(healthy, suspended)
	if lock, _ := r.pass(); !lock.Status.Suspended {
		t.Fatal("not written")
	}
	r.see(healthy, acquiredByA)
	inTime := r.client
	r.client = late
	if result := r.reconcile(); result.RequeueAfter != conflictAgain {
		t.Errorf("an object of the past is looked at again after %s", result.RequeueAfter)
	}
	r.client = inTime
	if lock, _ := r.pass(); lock.Status.Suspended {
		t.Error("the status shows a suspension that is over")
	}
	// After a restore of the API server's database the versions of our writes may not come for long.
	r.client = late
	r.clock.Step(staleLimit)
	if result := r.reconcile(); result.RequeueAfter != 0 {
		t.Errorf("an object that has gone back is looked at again after %s", result.RequeueAfter)
	}
}

// lateCache has an old version of the object.
type lateCache struct {
	client.Client
	lock *v1alpha1.DistributedLock
}

func (c lateCache) Get(_ context.Context, _ client.ObjectKey, into client.Object, _ ...client.GetOption) error {
	c.lock.DeepCopyInto(into.(*v1alpha1.DistributedLock))
	return nil
}

// An object that is gone is forgotten.
func TestForget(t *testing.T) {
	r := newReconciling(t, true, newLock(""))
	r.see(healthy, mongolock.State{})
	r.mirror.absent["orders/report"] = absence{}
	r.pass()
	r.budget.take("uid", true)
	if err := r.client.Delete(r.Context(), r.object()); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Reconcile(t.Context(), ctrl.Request{NamespacedName: r.key}); err != nil {
		t.Fatal(err)
	}
	if len(r.memory.objects)+len(r.mirror.absent)+len(r.mirror.asked)+len(r.budget.objects) > 0 {
		t.Errorf("still known: %v %v %v %v", r.memory.objects, r.mirror.absent, r.mirror.asked, r.budget.objects)
	}
}

// The states of locks are kept while an object wants them.
func TestForgetState(t *testing.T) {
	r := newReconciling(t, true, newLock(""))
	r.see(healthy, acquiredByA)
	r.pass()
	r.mirror.Forget(t.Context(), "orders/report")
	if len(r.mirror.locks) != 1 {
		t.Error("forgotten although another object wants it")
	}
	if err := r.client.Delete(t.Context(), r.object()); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Reconcile(t.Context(), ctrl.Request{NamespacedName: r.key}); err != nil {
		t.Fatal(err)
	}
	if len(r.mirror.locks) > 0 {
		t.Error("the state is kept without an object")
	}
}

// When a busy lock is calm again, what was left out is summed up without another transition.
func TestCalmLockIsSummedUp(t *testing.T) {
	r := newReconciling(t, true, newLock(""))
	r.see(healthy, acquiredByA)
	for range objectEventBurst + 3 {
		r.budget.take("uid", true)
	}
	result, err := r.Reconcile(t.Context(), ctrl.Request{NamespacedName: r.key}) // leaves out a fourth
	if err != nil || result.RequeueAfter != settlePeriod || len(r.events.Events) > 0 {
		t.Fatalf("result %+v, error %v, %d events", result, err, len(r.events.Events))
	}
	r.clock.Step(settlePeriod)
	r.pass()
	r.pass()
	if n := len(r.events.Events); n != 1 {
		t.Fatalf("%d events, want 1", n)
	}
	if got, want := <-r.events.Events, "Normal MoreTransitions 4 more transitions; see status.events"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// An id that is not allowed needs no look into MongoDB.
func TestHopelessID(t *testing.T) {
	r := newReconciling(t, true, newLock("elsewhere/lock"))
	r.see(healthy, mongolock.State{})
	lock, _ := r.pass()
	if got := conditionOf(lock.Status, "Stalled"); got != "True/IdNotAllowed" || len(r.mirror.asked) > 0 {
		t.Errorf("Stalled is %s, asked for %v", got, r.mirror.asked)
	}
}

// A foreign document is looked at again soon: the feed does not tell when it is moved away.
func TestForeignDocumentIsLookedAtAgain(t *testing.T) {
	r := newReconciling(t, true, newLock(""))
	r.see(healthy, mongolock.State{})
	r.mirror.absent["orders/report"] = absence{foreign: true, at: r.clock.Now()}
	result, err := r.Reconcile(t.Context(), ctrl.Request{NamespacedName: r.key})
	if err != nil || result.RequeueAfter != foreignAgain || len(r.mirror.asked) > 0 {
		t.Errorf("result %+v, error %v, asked for %v", result, err, r.mirror.asked)
	}
	r.clock.Step(foreignAgain)
	r.pass()
	if _, asked := r.mirror.asked["orders/report"]; !asked {
		t.Error("not asked again")
	}
}

// Our own writes, and those of others that say nothing wrong, cause no look.
func TestWorthALook(t *testing.T) {
	fresh, good := newLock(""), mirrored(acquiredByA)
	bad := mirrored(acquiredByA)
	bad.Status = desiredStatus(bad, View{Health: failed}, claim{}, t0)
	changed := good.DeepCopy()
	changed.Generation++
	for _, tt := range []struct {
		name     string
		leads    bool
		health   Health
		old, now *v1alpha1.DistributedLock
		want     bool
	}{
		{"own write", true, healthy, fresh, good, false},
		{"own word of an outage", true, failed, good, bad, false},
		{"another's wrong word of an outage", true, healthy, good, bad, true},
		{"the same, but we do not lead", false, healthy, good, bad, false},
		{"spec", false, healthy, good, changed, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newReconciling(t, tt.leads, newLock(""))
			r.see(tt.health, mongolock.State{})
			if got := r.worthALook().Update(event.UpdateEvent{ObjectOld: tt.old, ObjectNew: tt.now}); got != tt.want {
				t.Errorf("got %t, want %t", got, tt.want)
			}
		})
	}
}
