/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package controllers

import (
	"context"
	"errors"
	"testing"
	"time"

	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/mongolock/operator/api/v1alpha1"
	"github.com/mongolock/operator/pkg/mongolock"
)

// deletedWithPolicy is a reconciler of an object that declared a policy and is being deleted, since now.
func deletedWithPolicy(t *testing.T, leads bool) (*reconciling, *fakeStore) {
	t.Helper()
	lock := newLock("")
	lock.Spec.Capacity = ptr.To(int32(3))
	lock.Finalizers = []string{v1alpha1.PolicyFinalizer}
	r := newReconciling(t, leads, lock)
	store := &fakeStore{}
	r.mirror.store = store
	if err := r.client.Delete(t.Context(), lock); err != nil {
		t.Fatal(err)
	}
	r.clock.SetTime(time.Now())
	return r, store
}

func (r *reconciling) reconcile() ctrl.Result {
	r.Helper()
	result, err := r.Reconcile(r.Context(), ctrl.Request{NamespacedName: r.key})
	if err != nil {
		r.Fatal(err)
	}
	return result
}

func (r *reconciling) gone(ctx context.Context) bool {
	r.Helper()
	err := r.client.Get(ctx, r.key, &v1alpha1.DistributedLock{})
	if client.IgnoreNotFound(err) != nil {
		r.Fatal(err)
	}
	return err != nil
}

// Who lets an object go, and when.
func TestLetGo(t *testing.T) {
	for _, tt := range []struct {
		name    string
		leads   bool
		health  Health
		refuses error
		now     bool // gone at once
		later   bool // gone after clearLimit
		cleared bool
	}{
		{"leader", true, healthy, nil, true, true, true},
		{"leader, the write fails", true, healthy, mongolock.ErrUnreachable, false, true, false},
		{"standby", false, healthy, nil, false, false, false},
		{"leader in an outage", true, failed, nil, false, true, false},
		{"standby in an outage", false, failed, nil, false, true, false},
		{"settling", true, Health{}, nil, false, false, false},
		{"leader whose clock is ahead", true, failed, nil, false, true, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r, store := deletedWithPolicy(t, tt.leads)
			store.refuses = tt.refuses
			r.see(tt.health, mongolock.State{})
			if tt.name == "leader whose clock is ahead" {
				r.clock.Step(time.Hour)
			}
			result := r.reconcile()
			if r.gone(t.Context()) != tt.now {
				t.Errorf("gone at once: %t", !tt.now)
			}
			if tt.later && !tt.now && (result.RequeueAfter <= 0 || result.RequeueAfter > clearLimit) {
				t.Errorf("looks again after %s", result.RequeueAfter)
			}
			if !tt.now {
				r.clock.Step(clearLimit + time.Second)
				r.reconcile()
			}
			if r.gone(t.Context()) != tt.later {
				t.Errorf("gone after %s: %t", clearLimit, !tt.later)
			}
			if cleared := len(store.policies) > 0 && store.refuses == nil; cleared != tt.cleared {
				t.Errorf("cleared: %t", cleared)
			}
			if told := len(r.events.Events) > 0; told != (tt.later && !tt.cleared) {
				t.Errorf("an event tells that the policy stays: %t", told)
			}
		})
	}
}

// An object whose id is not allowed cannot reset somebody else's policy by being deleted.
func TestForeignObjectClearsNothing(t *testing.T) {
	lock := newLock("elsewhere/lock")
	lock.Finalizers = []string{v1alpha1.PolicyFinalizer}
	r := newReconciling(t, true, lock)
	store := &fakeStore{}
	r.mirror.store = store
	r.see(healthy, mongolock.State{})
	if err := r.client.Delete(t.Context(), lock); err != nil {
		t.Fatal(err)
	}
	r.reconcile()
	if !r.gone(t.Context()) || len(store.policies) > 0 {
		t.Errorf("gone %t, set %v", r.gone(t.Context()), store.policies)
	}
}

// A policy that MongoDB has not taken is said in the status, and written again after a pause only. The feed is given time to tell.
func TestPolicyIsWrittenInPeace(t *testing.T) {
	lock := newLock("")
	lock.Spec.Suspend = ptr.To(true)
	r := newReconciling(t, true, lock)
	store := &fakeStore{}
	r.mirror.store = store
	r.see(healthy, acquiredByA)
	for range 2 { // another reconcile may come at once
		if result := r.reconcile(); result.RequeueAfter != again || len(store.policies) != 1 || r.object().Status.State != "" {
			t.Fatalf("after the first write: %+v, %v, %+v", result, store.policies, r.object().Status)
		}
	}
	r.clock.Step(feedShows) // the feed shows another policy all the same
	if result := r.reconcile(); result.RequeueAfter != policyPause-feedShows {
		t.Errorf("looks again after %s", result.RequeueAfter)
	}
	if got := conditionOf(r.object().Status, "Ready"); got != "False/PolicyNotApplied" || len(store.policies) != 1 {
		t.Errorf("Ready is %s after %d writes", got, len(store.policies))
	}
	if s := r.object().Status; s.Holder != "a" {
		t.Errorf("the lock does not show: %+v", s)
	}
	r.clock.Step(policyPause - feedShows)
	store.refuses = errors.New("no")
	r.reconcile()
	if got := conditionOf(r.object().Status, "Ready"); got != "False/PolicyNotApplied" || len(store.policies) != 2 {
		t.Errorf("Ready is %s after %d writes", got, len(store.policies))
	}
	state := acquiredByA
	state.Policy = mongolock.Policy{Capacity: 1, Suspended: true, Retain: true}
	r.see(healthy, state)
	r.reconcile()
	if got := conditionOf(r.object().Status, "Ready"); got != "True/Mirrored" || !r.object().Status.Suspended {
		t.Errorf("Ready is %s, status %+v", got, r.object().Status)
	}
}

// Suspended, resumed and suspended again at once: the last word is written at once, too.
func TestPolicyComesBack(t *testing.T) {
	lock := newLock("")
	lock.Spec.Suspend = ptr.To(true)
	r := newReconciling(t, true, lock)
	store := &fakeStore{}
	r.mirror.store = store
	state := acquiredByA
	declare := func(suspend *bool) {
		lock := r.object()
		lock.Spec.Suspend = suspend
		if err := r.client.Update(t.Context(), lock); err != nil {
			t.Fatal(err)
		}
		r.reconcile()
		state.Policy = mongolock.Policy{Capacity: 1, Suspended: suspend != nil}
		r.see(healthy, state)
	}
	r.see(healthy, state)
	declare(ptr.To(true))
	declare(nil)
	declare(ptr.To(true))
	if n := len(store.policies); n != 3 || !store.policies[2].Suspended {
		t.Errorf("written were %+v", store.policies)
	}
}

// withSecond adds another object of the same lock.
func (r *reconciling) withSecond(change func(*v1alpha1.DistributedLock)) *v1alpha1.DistributedLock {
	r.Helper()
	lock := newLock("orders/report")
	lock.Name, lock.UID = "second", "other"
	change(lock)
	if err := r.client.Create(r.Context(), lock); err != nil {
		r.Fatal(err)
	}
	return lock
}

// When two objects of one lock are deleted together, neither leaves the policy to the other.
func TestPolicyGoesWithBothObjects(t *testing.T) {
	r, store := deletedWithPolicy(t, true)
	r.see(healthy, mongolock.State{})
	second := r.withSecond(func(lock *v1alpha1.DistributedLock) {
		lock.Spec.Suspend = ptr.To(true)
		lock.Finalizers = []string{v1alpha1.PolicyFinalizer}
	})
	if err := r.client.Delete(t.Context(), second); err != nil {
		t.Fatal(err)
	}
	r.reconcile()
	if !r.gone(t.Context()) || len(store.policies) != 1 {
		t.Errorf("gone %t, written %v", r.gone(t.Context()), store.policies)
	}
}

// When one object takes the place of another, the lock has a policy at every moment: what both suspend is never granted.
func TestPolicyPassesOn(t *testing.T) {
	r, store := deletedWithPolicy(t, true)
	suspended := mongolock.Policy{Capacity: 1, Suspended: true}
	r.see(healthy, mongolock.State{ID: "orders/report", Exists: true, Policy: suspended})
	second := r.withSecond(func(lock *v1alpha1.DistributedLock) { lock.Spec.Suspend = ptr.To(true) })
	if result := r.reconcile(); r.gone(t.Context()) || result.RequeueAfter != again {
		t.Errorf("gone %t before the next one is there, looks again after %s", r.gone(t.Context()), result.RequeueAfter)
	}
	first := r.key
	r.key = client.ObjectKeyFromObject(second)
	r.reconcile()
	if lock := r.object(); conditionOf(lock.Status, "Ready") != "True/Mirrored" || len(lock.Finalizers) != 1 {
		t.Errorf("the next one has the finalizers %v and the status %+v", lock.Finalizers, lock.Status)
	}
	r.key = first
	r.reconcile()
	if !r.gone(t.Context()) || len(store.policies) > 0 {
		t.Errorf("gone %t, written %v", r.gone(t.Context()), store.policies)
	}
}

// One that can never take over holds a deletion up for a while only.
func TestPolicyDoesNotWaitForEver(t *testing.T) {
	r, store := deletedWithPolicy(t, true)
	r.see(healthy, mongolock.State{})
	r.withSecond(func(lock *v1alpha1.DistributedLock) { lock.Spec.Suspend = ptr.To(true) })
	if result := r.reconcile(); r.gone(t.Context()) || result.RequeueAfter != again {
		t.Errorf("gone %t, looks again after %s", r.gone(t.Context()), result.RequeueAfter)
	}
	r.clock.Step(clearLimit)
	r.reconcile()
	if !r.gone(t.Context()) || len(store.policies) != 1 || len(r.events.Events) > 0 {
		t.Errorf("gone %t, written %v, %d events", r.gone(t.Context()), store.policies, len(r.events.Events))
	}
}

// One that has taken over keeps its policy, however late the deletion is noticed.
func TestLateDeletionClearsNothing(t *testing.T) {
	r, store := deletedWithPolicy(t, true)
	r.see(failed, mongolock.State{})
	r.reconcile()
	r.withSecond(func(lock *v1alpha1.DistributedLock) {
		lock.Spec.Suspend = ptr.To(true)
		lock.Finalizers = []string{v1alpha1.PolicyFinalizer}
	})
	r.clock.Step(2 * clearLimit)
	r.see(healthy, mongolock.State{})
	r.reconcile()
	if !r.gone(t.Context()) || len(store.policies) > 0 {
		t.Errorf("gone %t, written %v", r.gone(t.Context()), store.policies)
	}
}

// An object that has the claim takes its policy out when it declares none any more, whatever another one declares that has no claim.
func TestUndeclaredPolicyIsCleared(t *testing.T) {
	lock := newLock("")
	lock.Finalizers = []string{v1alpha1.PolicyFinalizer}
	r := newReconciling(t, true, lock)
	store := &fakeStore{}
	r.mirror.store = store
	r.withSecond(func(lock *v1alpha1.DistributedLock) { lock.Spec.Suspend = ptr.To(true) })
	r.see(healthy, mongolock.State{ID: "orders/report", Exists: true, Policy: mongolock.Policy{Suspended: true}})
	r.reconcile()
	if after := r.object(); len(store.policies) != 1 || store.policies[0].Suspended || len(after.Finalizers) > 0 {
		t.Errorf("written %v, finalizers %v", store.policies, after.Finalizers)
	}
}

// An object that has lost the claim to its lock takes out the policy that it had set.
func TestLostClaimTakesThePolicyAlong(t *testing.T) {
	lock := newLock("elsewhere/lock")
	lock.Spec.Capacity = ptr.To(int32(3))
	lock.Finalizers = []string{v1alpha1.PolicyFinalizer}
	r := newReconciling(t, true, lock)
	r.claims.allowForeignIDs = true
	store := &fakeStore{}
	r.mirror.store = store
	owner := newLock("")
	owner.Namespace, owner.Name, owner.UID = "elsewhere", "lock", "other"
	if err := r.client.Create(t.Context(), owner); err != nil {
		t.Fatal(err)
	}
	r.see(healthy, mongolock.State{ID: "elsewhere/lock", Exists: true})
	r.reconcile()
	after := r.object()
	if got := conditionOf(after.Status, "Stalled"); got != "True/DuplicateId" || len(after.Finalizers) > 0 || len(store.policies) != 1 || store.policies[0].Capacity > 1 {
		t.Errorf("Stalled is %s, finalizers %v, written %v", got, after.Finalizers, store.policies)
	}
}

// Nobody who may only change the read-only objects can change the locks of others through them.
func TestDiscoveredObjectsTouchNothing(t *testing.T) {
	for _, deleted := range []bool{false, true} {
		lock := newLock("victim/x")
		lock.Labels = map[string]string{v1alpha1.DiscoveredLabel: "true"}
		lock.Finalizers = []string{v1alpha1.PolicyFinalizer}
		r := newReconciling(t, true, lock)
		r.claims.discovery = lock.Namespace
		store := &fakeStore{}
		r.mirror.store = store
		r.see(healthy, mongolock.State{ID: "victim/x", Exists: true})
		if deleted {
			if err := r.client.Delete(t.Context(), lock); err != nil {
				t.Fatal(err)
			}
		}
		r.reconcile()
		if len(store.policies) > 0 || deleted != r.gone(t.Context()) {
			t.Errorf("deleted %t: written %v, gone %t", deleted, store.policies, r.gone(t.Context()))
		}
	}
}
