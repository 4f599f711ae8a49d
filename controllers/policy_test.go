/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package controllers

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/mongolock/operator/api/v1alpha1"
	"github.com/mongolock/operator/hack/servers/servertest"
	"github.com/mongolock/operator/pkg/mongolock"
)

// patch changes an object as people do.
func (e *env) patch(name, patch string) {
	e.Helper()
	if out, err := e.kubectlIn("", "patch", "dlock", name, "--type=merge", "-p", patch); err != nil {
		e.Fatalf("patch %s: %v\n%s", patch, err, out)
	}
}

// has waits until the lock of an object has this policy in MongoDB.
func (e *env) has(name string, want mongolock.Policy) {
	e.Helper()
	e.eventually(soon, "the policy is in MongoDB", func() bool {
		state, err := e.locks.Get(e.Context(), e.namespace+"/"+name)
		if err != nil {
			e.Fatal(err)
		}
		return samePolicy(state.Policy, want)
	})
}

// absent waits until an object is gone.
func (e *env) absent(within time.Duration, name string) {
	e.Helper()
	e.eventually(within, name+" is gone", func() bool {
		err := e.api.Get(e.Context(), client.ObjectKey{Namespace: e.namespace, Name: name}, &v1alpha1.DistributedLock{})
		if client.IgnoreNotFound(err) != nil {
			e.Fatal(err)
		}
		return err != nil
	})
}

func (e *env) remove(name string) {
	e.Helper()
	if err := e.api.Delete(e.Context(), e.get(name)); err != nil {
		e.Fatal(err)
	}
}

// What an object declares binds every client, from the object's first moment to its last.
func TestPolicyBindsClients(t *testing.T) {
	e := newEnv(t)
	e.operate(servertest.MongoDBURI())
	e.create("pool", "")
	e.shows(soon, "pool", "Ready True/Mirrored")
	e.patch("pool", `{"spec":{"capacity":2,"maxLeaseDuration":"20s"}}`)
	e.eventually(soon, "the policy shows", func() bool {
		s := e.get("pool").Status
		return s.Capacity == 2 && s.MaxLeaseDuration != nil && s.MaxLeaseDuration.Duration == 20*time.Second
	})
	lock := e.shows(soon, "pool", "Ready True/Mirrored")
	if lock.Status.ObservedGeneration != lock.Generation || !slices.Contains(lock.Finalizers, v1alpha1.PolicyFinalizer) {
		t.Errorf("generation %d, observed %d, finalizers %v", lock.Generation, lock.Status.ObservedGeneration, lock.Finalizers)
	}
	first := e.acquire("pool", mongolock.Shared(), mongolock.WithLease(time.Hour))
	second := e.acquire("pool", mongolock.Shared())
	if _, err := e.locks.TryLock(t.Context(), e.namespace+"/pool", mongolock.Shared()); !errors.Is(err, mongolock.ErrHeld) {
		t.Errorf("a third holder: %v", err)
	}
	lock = e.shows(prompt, "pool", "Held True/Acquired")
	e.eventually(prompt, "both holders show", func() bool { lock = e.get("pool"); return lock.Status.HolderCount == 2 })
	if d := lock.Status.Holders[0].LeaseDuration.Duration; d != 20*time.Second {
		t.Errorf("the lease is %s", d)
	}

	e.release(first)
	e.patch("pool", `{"spec":{"suspend":true}}`)
	e.eventually(soon, "the suspension shows", func() bool { return e.get("pool").Status.Suspended })
	if _, err := e.locks.TryLock(t.Context(), e.namespace+"/pool", mongolock.Shared()); err == nil {
		t.Error("a suspended lock was granted")
	}
	if err := second.Renew(t.Context()); err != nil {
		t.Errorf("a holder of a suspended lock cannot renew: %v", err)
	}
	// Somebody else's policy is put right.
	if err := e.locks.SetPolicy(t.Context(), e.namespace+"/pool", mongolock.Policy{}); err != nil {
		t.Fatal(err)
	}
	e.has("pool", mongolock.Policy{Capacity: 2, Suspended: true, MaxLease: 20 * time.Second})

	e.patch("pool", `{"spec":{"capacity":null,"suspend":null,"maxLeaseDuration":null}}`)
	e.has("pool", mongolock.Policy{})
	e.eventually(soon, "the finalizer is gone", func() bool { return len(e.get("pool").Finalizers) == 0 })

	e.patch("pool", `{"spec":{"suspend":true}}`)
	e.has("pool", mongolock.Policy{Suspended: true})
	e.remove("pool")
	e.absent(soon, "pool")
	e.has("pool", mongolock.Policy{})
	if err := second.Renew(t.Context()); err != nil {
		t.Errorf("the holder was touched: %v", err)
	}
}

// An object that declares no policy leaves alone what a program has set, and shows it.
func TestUndeclaredPolicyIsLeftAlone(t *testing.T) {
	e := newEnv(t)
	policy := mongolock.Policy{Capacity: 5, MaxLease: time.Minute}
	if err := e.locks.SetPolicy(t.Context(), e.namespace+"/theirs", policy); err != nil {
		t.Fatal(err)
	}
	e.operate(servertest.MongoDBURI())
	e.create("theirs", "")
	e.shows(soon, "theirs", "Ready True/Mirrored")
	if s := e.get("theirs").Status; s.Capacity != 5 || s.MaxLeaseDuration.Duration != time.Minute || s.Suspended {
		t.Errorf("status %+v", s)
	}
	e.remove("theirs")
	e.absent(soon, "theirs")
	e.has("theirs", policy)
}

// MongoDB that is gone does not hold up the deletion of an object with a policy for longer than a minute, leader or not.
func TestDeletionDoesNotHang(t *testing.T) {
	e := newEnv(t)
	proxy := e.proxy()
	e.operate(proxy.URI())
	e.create("stuck", "")
	e.patch("stuck", `{"spec":{"capacity":3}}`)
	e.has("stuck", mongolock.Policy{Capacity: 3})
	e.shows(soon, "stuck", "Ready True/Mirrored")
	proxy.Refuse() // a black hole could hand over later what was sent to it
	e.remove("stuck")
	e.absent(time.Minute, "stuck")
	e.eventually(soon, "it is told", func() bool {
		return slices.ContainsFunc(e.events("stuck"), func(s string) bool { return strings.HasPrefix(s, v1alpha1.EventPolicyNotCleared) })
	})
	proxy.Heal()
	e.has("stuck", mongolock.Policy{Capacity: 3}) // as the event says
}

// With the right annotation the holder loses the lock; with a wrong one nobody does. Either way the annotation goes and a Warning tells.
func TestEvictAnnotation(t *testing.T) {
	e := newEnv(t)
	e.operate(servertest.MongoDBURI())
	e.create("jammed", "")
	e.create("elsewhere", "other/lock")
	lease := e.acquire("jammed", mongolock.WithOwner("zombie"), mongolock.WithLease(4*time.Second))
	e.shows(soon, "jammed", "Held True/Acquired")
	e.shows(soon, "elsewhere", "Stalled True/IdNotAllowed")
	told := func(name, reason string) {
		t.Helper()
		e.eventually(soon, name+" tells "+reason, func() bool {
			return slices.ContainsFunc(e.events(name), func(s string) bool { return strings.HasPrefix(s, reason) })
		})
		e.eventually(soon, "the annotation is gone", func() bool { return len(e.get(name).Annotations) == 0 })
	}
	e.kubectl("annotate dlock elsewhere locks.mongolock.dev/evict=1")
	told("elsewhere", v1alpha1.EventEvictionRefused+": This object is stalled")
	e.kubectl("annotate dlock jammed locks.mongolock.dev/evict=everybody")
	told("jammed", v1alpha1.EventEvictionRefused+": The annotation")
	e.kubectl("annotate dlock jammed locks.mongolock.dev/evict=12345")
	told("jammed", v1alpha1.EventEvictionRefused+": Nobody holds the lock with token 12345")
	if err := lease.Renew(t.Context()); err != nil {
		t.Fatalf("the holder was touched: %v", err)
	}

	out, err := e.kubectlIn("", "get", "dlock", "jammed", "-o", "jsonpath={.status.fencingToken}")
	if err != nil {
		t.Fatal(err)
	}
	e.kubectl("annotate dlock jammed locks.mongolock.dev/evict=" + out)
	e.shows(soon, "jammed", "Held False/Evicted")
	told("jammed", v1alpha1.EventHolderEvicted)
	e.eventually(soon, "the eviction is an event of the lock, too", func() bool {
		return slices.Contains(e.events("jammed"), `LockEvicted: The lock was taken away from "zombie" with token `+out+
			": annotation of the DistributedLock "+e.namespace+"/jammed")
	})
	select {
	case <-lease.Done():
	case <-time.After(soon):
		t.Error("the holder is not told")
	}
	if next := e.acquire("jammed"); next.Token() <= lease.Token() {
		t.Errorf("token %d after %d", next.Token(), lease.Token())
	}
}
