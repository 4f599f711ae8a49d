/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

// Package controllers has the controller of DistributedLocks, which mirrors locks held in MongoDB into the status of objects.
//
//	MongoDB -> feed -> Mirror -> queue -> Reconciler -> one status patch -> events
//
// The feed tells of transitions only, so renewals, which are most of what happens in MongoDB, cost nothing here. The [Mirror] keeps
// the last picture of every lock and puts the objects concerned into the queue. The [Reconciler] computes the status from that
// picture without asking MongoDB, and writes it if it differs from the one there.
//
// The other way, from objects to MongoDB, go only the policy that an object declares and the eviction that an annotation asks for. Which
// of several objects may speak for a lock is decided in claim.go. With [Options].MirrorUndeclared the discovery makes objects for locks
// that have none.
package controllers

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/mongolock/operator/api/v1alpha1"
)

// controllerName names the controller in metrics and logs; recorderName names it in events.
const (
	controllerName = "distributedlock"
	recorderName   = "mongolock-operator"

	firstRetry, longestRetry = 50 * time.Millisecond, 15 * time.Second
	// reconcileTimeout is for an API server that takes requests and does not answer.
	reconcileTimeout = time.Minute
)

// Options configure the controller.
type Options struct {
	// Store is where the locks are; nil if the operator has no usable connection string, which the objects then say.
	Store Store
	// WithoutStore tells the reason of the condition Ready while Store is nil; default StoreNotConfigured.
	WithoutStore func() string
	// StandbyDelay is how long an outage lasts before a replica speaks of it that does not lead: the lease of the leader, after which
	// there is none. 0, the default, means that there is no election, and this replica leads.
	StandbyDelay time.Duration
	// ElectionID is the id of the lock by which the operator elects its leader, if there is an election.
	ElectionID string
	// AllowForeignIDs lets objects mirror locks whose id lies outside their own namespace.
	AllowForeignIDs bool
	// MirrorUndeclared is the namespace in which locks that no object declares get an object of their own; "" switches that off.
	MirrorUndeclared string
}

// Setup adds the controller, its mirror and the readiness check to a manager.
func Setup(ctx context.Context, mgr ctrl.Manager, opts Options) error {
	if err := mgr.GetFieldIndexer().IndexField(ctx, &v1alpha1.DistributedLock{}, lockIDIndex, lockIDs); err != nil {
		return fmt.Errorf("index objects by lock id: %w", err)
	}
	log := mgr.GetLogger().WithName("mirror")
	wake := newWaker(mgr.GetCache(), clock.RealClock{}, log)
	wake.everything = opts.MirrorUndeclared != ""
	mirror := newMirror(opts.Store, clock.RealClock{}, log, wake)
	if opts.WithoutStore != nil {
		mirror.without = opts.WithoutStore
	}
	elected := mgr.Elected()
	if opts.Store == nil && opts.StandbyDelay > 0 {
		elected = nil // whoever leads is elected in the store; the manager knows of no election
	}
	r := &Reconciler{
		client:   mgr.GetClient(),
		recorder: mgr.GetEventRecorder(recorderName),
		mirror:   mirror,
		claims: &claims{
			objects: mgr.GetCache(), allowForeignIDs: opts.AllowForeignIDs, discovery: opts.MirrorUndeclared, election: opts.ElectionID,
		},
		clock:        clock.RealClock{},
		elected:      elected,
		standbyDelay: opts.StandbyDelay,
		memory:       newMemory(),
		budget:       newEventBudget(clock.RealClock{}),
	}
	err := ctrl.NewControllerManagedBy(mgr).
		Named(controllerName).
		For(&v1alpha1.DistributedLock{}, builder.WithPredicates(r.worthALook())).
		Watches(&v1alpha1.DistributedLock{}, handler.EnqueueRequestsFromMapFunc(r.claims.rivals), builder.WithPredicates(comesOrGoes())).
		WatchesRawSource(source.Func(wake.attach)).
		WithOptions(controller.Options{
			MaxConcurrentReconciles: 4,
			NeedLeaderElection:      ptr.To(false), // see Reconciler: who writes
			RateLimiter:             newRateLimiter[reconcile.Request](),
			ReconciliationTimeout:   reconcileTimeout,
		}).
		Complete(r)
	if err != nil {
		return fmt.Errorf("build the controller: %w", err)
	}
	if opts.MirrorUndeclared != "" {
		d := &discovery{client: mgr.GetClient(), mirror: mirror, claims: r.claims, hopeless: map[string]struct{}{}}
		if err := d.setup(mgr, wake); err != nil {
			return fmt.Errorf("build the discovery: %w", err)
		}
	}
	for _, part := range []manager.Runnable{mirror, &audit{Reconciler: r, wake: wake}, &onElection{elected: elected, wake: wake}} {
		if err := mgr.Add(part); err != nil {
			return fmt.Errorf("add a part of the controller: %w", err)
		}
	}
	return mgr.AddReadyzCheck("controller", func(*http.Request) error {
		if wake.objectQueue() == nil {
			return errNotStarted
		}
		return nil
	})
}

// newRateLimiter spaces out the tries of what failed, which is only ever a request to the API server. The usual one lets an object wait
// for a quarter of an hour in the end, and so for as long again when an outage of the API server is over.
func newRateLimiter[T comparable]() workqueue.TypedRateLimiter[T] {
	return workqueue.NewTypedItemExponentialFailureRateLimiter[T](firstRetry, longestRetry)
}

// worthALook passes events of the API server by that cannot matter, above all those of our own status writes. A status that speaks of
// an outage while this replica sees none was written by another one, and is put right.
func (r *Reconciler) worthALook() predicate.Predicate {
	return predicate.Funcs{
		UpdateFunc: func(e event.UpdateEvent) bool {
			before, ok := e.ObjectOld.(*v1alpha1.DistributedLock)
			lock, isLock := e.ObjectNew.(*v1alpha1.DistributedLock)
			if !ok || !isLock {
				return false
			}
			r.overhear(before, lock)
			_, evict := lock.Annotations[v1alpha1.EvictAnnotation]
			return evict || lock.Generation != before.Generation || relabelled(e) ||
				lock.Spec.DeclaresPolicy() != controllerutil.ContainsFinalizer(lock, v1alpha1.PolicyFinalizer) ||
				isStoreReason(readyReason(lock)) && r.leads() && r.mirror.Healthy()
		},
		GenericFunc: func(event.GenericEvent) bool { return false },
	}
}

// comesOrGoes passes the events by in which an object neither comes nor begins to go, nor becomes or ceases to be a discovered one.
func comesOrGoes() predicate.Predicate {
	return predicate.Funcs{
		UpdateFunc: func(e event.UpdateEvent) bool {
			return relabelled(e) || e.ObjectOld.GetDeletionTimestamp().IsZero() != e.ObjectNew.GetDeletionTimestamp().IsZero()
		},
		GenericFunc: func(event.GenericEvent) bool { return false },
	}
}

func relabelled(e event.UpdateEvent) bool {
	return e.ObjectOld.GetLabels()[v1alpha1.DiscoveredLabel] != e.ObjectNew.GetLabels()[v1alpha1.DiscoveredLabel]
}

// onElection wakes all objects when this replica becomes the leader.
type onElection struct {
	elected <-chan struct{}
	wake    *waker
}

// NeedLeaderElection lets it wait in every replica. Being started by the election would not do: that happens before Elected is closed.
func (o *onElection) NeedLeaderElection() bool { return false }

// Start waits for the election.
func (o *onElection) Start(ctx context.Context) error {
	select {
	case <-ctx.Done():
	case <-o.elected:
		o.wake.all(ctx, 0, nil)
	}
	return nil
}

var (
	_ manager.LeaderElectionRunnable = (*Mirror)(nil)
	_ manager.LeaderElectionRunnable = (*onElection)(nil)
)
