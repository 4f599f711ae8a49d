/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package controllers

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/mongolock/operator/api/v1alpha1"
)

// claim tells whether an object may mirror its lock. If not, it has the reason and the message of the condition Stalled.
type claim struct{ reason, message string }

// granted tells whether the object may mirror its lock.
func (c claim) granted() bool { return c.reason == "" }

// claims decides which object may mirror a lock. A lock has one object at most: two could declare different policies, and whoever looks
// for a lock would find it twice. An object that is being deleted has no claim any more.
type claims struct {
	objects client.Reader
	// allowForeignIDs lets objects mirror locks whose id lies outside their own namespace.
	allowForeignIDs bool
	// discovery is the namespace of the objects that the operator itself makes; "" if it makes none.
	discovery string
	// election is the id of the lock that the operator's leader holds; "" if there is no election.
	election string
}

// of judges the claim of an object.
func (c *claims) of(ctx context.Context, lock *v1alpha1.DistributedLock) (claim, error) {
	switch {
	case !c.allowed(lock):
		return claim{v1alpha1.ReasonIDNotAllowed, fmt.Sprintf("The id must begin with %q, the object's own namespace: create an object with "+
			"such an id, or start the operator with --allow-foreign-ids.", lock.Namespace+"/")}, nil
	case c.discovered(lock) && lock.Spec.DeclaresPolicy():
		return claim{v1alpha1.ReasonReadOnly, "The operator made this object for a lock that no object declares: take the policy out of it, " +
			"and declare the lock with an object of your own."}, nil
	case c.bindsElection(lock):
		return claim{v1alpha1.ReasonReadOnly, "The operator elects its own leader by this lock, and a policy could keep it from doing so for good: " +
			"take the policy out of this object."}, nil
	}
	other, err := c.bestOther(ctx, lock)
	if err != nil {
		return claim{}, err
	}
	if other != nil && c.better(other, lock) {
		return claim{v1alpha1.ReasonDuplicateID, fmt.Sprintf("The object %s/%s mirrors the same lock and has the better claim: delete one of the "+
			"two, or make this one anew with another id.", other.Namespace, other.Name)}, nil
	}
	return claim{}, nil
}

// eligible tells whether an object can have the claim to its lock.
func (c *claims) eligible(lock *v1alpha1.DistributedLock) bool {
	return lock.DeletionTimestamp.IsZero() && c.allowed(lock) && !c.bindsElection(lock)
}

// bindsElection tells whether the object declares a policy for the lock of the operator's own election.
func (c *claims) bindsElection(lock *v1alpha1.DistributedLock) bool {
	return c.election != "" && lock.LockID() == c.election && lock.Spec.DeclaresPolicy()
}

// allowed tells whether the id is one that the object may have.
func (c *claims) allowed(lock *v1alpha1.DistributedLock) bool {
	return c.allowForeignIDs || !lock.HasForeignID() || c.discovered(lock)
}

// discovered tells whether the operator made the object. The label alone means nothing: anybody can set it.
func (c *claims) discovered(lock *v1alpha1.DistributedLock) bool {
	return c.discovery != "" && lock.Namespace == c.discovery && lock.Labels[v1alpha1.DiscoveredLabel] == "true"
}

// better tells whether a has the better claim to the lock of both: what people declare before what the operator made, the lock's own
// namespace before others, which would otherwise take locks from those that they belong to, and the older before the younger.
func (c *claims) better(a, b *v1alpha1.DistributedLock) bool {
	if x, y := c.discovered(a), c.discovered(b); x != y {
		return y
	}
	if x, y := a.HasForeignID(), b.HasForeignID(); x != y {
		return y
	}
	if x, y := a.CreationTimestamp, b.CreationTimestamp; !x.Equal(&y) {
		return x.Before(&y)
	}
	return a.Namespace+"/"+a.Name < b.Namespace+"/"+b.Name
}

// bestOther is the object that would have the claim to the lock without this one; nil if there is none. It belongs to the cache.
func (c *claims) bestOther(ctx context.Context, lock *v1alpha1.DistributedLock) (*v1alpha1.DistributedLock, error) {
	objects, err := c.sharing(ctx, lock.LockID())
	if err != nil {
		return nil, err
	}
	var best *v1alpha1.DistributedLock
	for i := range objects {
		other := &objects[i]
		if other.UID != lock.UID && c.eligible(other) && (best == nil || c.better(other, best)) {
			best = other
		}
	}
	return best, nil
}

// successor is the object that has the claim in the place of this one; nil if this one has it, or nobody.
func (c *claims) successor(ctx context.Context, lock *v1alpha1.DistributedLock) (*v1alpha1.DistributedLock, error) {
	other, err := c.bestOther(ctx, lock)
	if err != nil || other == nil || c.eligible(lock) && !c.better(other, lock) {
		return nil, err
	}
	return other, nil
}

// sharing lists the objects with this lock id. They belong to the cache and must not be changed.
func (c *claims) sharing(ctx context.Context, id string) ([]v1alpha1.DistributedLock, error) {
	var locks v1alpha1.DistributedLockList
	err := c.objects.List(ctx, &locks, client.MatchingFields{lockIDIndex: id}, client.UnsafeDisableDeepCopyOption(true))
	return locks.Items, err
}

// rivals are the other objects with the lock id of object: it is their claim, too, that changes when an object comes or goes.
func (c *claims) rivals(ctx context.Context, object client.Object) []reconcile.Request {
	lock, ok := object.(*v1alpha1.DistributedLock)
	if !ok {
		return nil
	}
	objects, err := c.sharing(ctx, lock.LockID())
	if err != nil {
		return nil // the cache is ending
	}
	var others []reconcile.Request
	for i := range objects {
		if key := client.ObjectKeyFromObject(&objects[i]); key != (types.NamespacedName{Namespace: lock.Namespace, Name: lock.Name}) {
			others = append(others, reconcile.Request{NamespacedName: key})
		}
	}
	return others
}
