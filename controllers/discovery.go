/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package controllers

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"regexp"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/mongolock/operator/api/v1alpha1"
)

const (
	discoveryName = "discovery"
	managedBy     = "app.kubernetes.io/managed-by"
	// createPause is how long to wait after an object could not be made.
	createPause = time.Minute
)

// discovery makes an object for each lock that exists in MongoDB and that no object declares, and deletes it when the lock was purged or
// is declared. Its requests are lock ids; only the leader answers them.
//
// It has one worker, so its fields need no lock.
type discovery struct {
	client client.Client
	mirror *Mirror
	claims *claims
	// hopeless are the ids of existing locks that no object can have.
	hopeless map[string]struct{}
	// forbidden is when the API server last said that no objects can be made at all.
	forbidden time.Time
}

// setup adds the discovery to a manager.
func (d *discovery) setup(mgr ctrl.Manager, wake *waker) error {
	toID := handler.TypedEnqueueRequestsFromMapFunc(func(_ context.Context, object client.Object) []string {
		if lock, ok := object.(*v1alpha1.DistributedLock); ok {
			return []string{lock.LockID()}
		}
		return nil
	})
	attach := source.TypedFunc[string](func(_ context.Context, queue workqueue.TypedRateLimitingInterface[string]) error {
		wake.discover(queue)
		for _, id := range d.mirror.known() { // what the feed told of before
			queue.Add(id)
		}
		return nil
	})
	return builder.TypedControllerManagedBy[string](mgr).
		Named(discoveryName).
		Watches(&v1alpha1.DistributedLock{}, toID, builder.WithPredicates(comesOrGoes())).
		WatchesRawSource(attach).
		WithOptions(controller.TypedOptions[string]{
			MaxConcurrentReconciles: 1, RateLimiter: newRateLimiter[string](), ReconciliationTimeout: reconcileTimeout,
		}).
		Complete(d)
}

// Reconcile answers for one lock.
func (d *discovery) Reconcile(ctx context.Context, id string) (ctrl.Result, error) {
	view := d.mirror.View(id)
	if view.Health.Phase != Healthy {
		return ctrl.Result{}, nil // woken when it works again
	}
	objects, err := d.claims.sharing(ctx, id)
	if err != nil {
		return ctrl.Result{}, err
	}
	declared := false
	var discovered *v1alpha1.DistributedLock
	for i := range objects {
		if d.claims.discovered(&objects[i]) {
			discovered = &objects[i]
		} else if d.claims.allowed(&objects[i]) {
			declared = true
		}
	}
	switch {
	case discovered == nil && view.State.Exists && !declared:
		return d.create(ctx, id)
	case discovered == nil:
		delete(d.hopeless, id)
		return ctrl.Result{}, nil
	case !declared && view.State.Exists:
		return ctrl.Result{}, nil
	case !declared && view.Unknown:
		d.mirror.Check(id) // the feed may not have told of it yet
		return ctrl.Result{RequeueAfter: again}, nil
	}
	err = d.client.Delete(ctx, discovered, client.Preconditions{UID: &discovered.UID})
	return retried(client.IgnoreNotFound(err))
}

// create makes the object of a lock. What cannot be made is not tried at each transition of the lock, nor told of each time.
func (d *discovery) create(ctx context.Context, id string) (ctrl.Result, error) {
	if _, hopeless := d.hopeless[id]; hopeless {
		return ctrl.Result{}, nil
	}
	now := d.mirror.clock.Now()
	if left := createPause - now.Sub(d.forbidden); left > 0 { // one try for all
		return ctrl.Result{RequeueAfter: left + rand.N(createPause/10)}, nil
	}
	err := d.client.Create(ctx, &v1alpha1.DistributedLock{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: d.claims.discovery,
			Name:      discoveredObject(id),
			Labels:    map[string]string{v1alpha1.DiscoveredLabel: "true", managedBy: recorderName},
		},
		Spec: v1alpha1.DistributedLockSpec{ID: id},
	})
	switch {
	case apierrors.IsAlreadyExists(err):
		return ctrl.Result{RequeueAfter: createPause}, nil // the cache is late, or somebody took the name
	case apierrors.IsInvalid(err):
		// The library takes ids that no object can have, such as those with control characters.
		log.FromContext(ctx).Info("A lock cannot be shown: its id is none that an object may have", "lock", id)
		d.hopeless[id] = struct{}{}
		return ctrl.Result{}, nil
	case apierrors.IsForbidden(err), apierrors.IsNotFound(err):
		d.forbidden = now
		log.FromContext(ctx).Error(err, "Locks cannot be shown: the namespace of --mirror-undeclared is missing, or the right to make objects in it",
			"namespace", d.claims.discovery)
		return ctrl.Result{RequeueAfter: createPause}, nil
	case err != nil:
		return ctrl.Result{}, fmt.Errorf("create an object for the lock %q: %w", id, err)
	}
	return ctrl.Result{}, nil
}

var notInNames = regexp.MustCompile(`[^a-z0-9]+`)

// discoveredObject is the name of the object of a lock: what can be read of its id, and a hash that tells it from others.
func discoveredObject(id string) string {
	const readable, hashed = 40, 10
	slug := notInNames.ReplaceAllString(strings.ToLower(id), "-")
	slug = strings.Trim(slug[:min(len(slug), readable)], "-")
	if slug == "" {
		slug = "lock"
	}
	sum := sha256.Sum256([]byte(id))
	return slug + "-" + hex.EncodeToString(sum[:])[:hashed]
}

var _ reconcile.TypedReconciler[string] = (*discovery)(nil)
