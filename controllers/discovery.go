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
	"regexp"
	"strings"

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
)

// discovery makes an object for each lock that exists in MongoDB and that no object declares, and deletes it when the lock was purged or
// is declared. Its requests are lock ids; only the leader answers them.
type discovery struct {
	client client.Client
	mirror *Mirror
	claims *claims
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
		WithOptions(controller.TypedOptions[string]{RateLimiter: newRateLimiter[string]()}).
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
		return ctrl.Result{}, d.create(ctx, id)
	case discovered == nil:
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

func (d *discovery) create(ctx context.Context, id string) error {
	err := d.client.Create(ctx, &v1alpha1.DistributedLock{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: d.claims.discovery,
			Name:      discoveredObject(id),
			Labels:    map[string]string{v1alpha1.DiscoveredLabel: "true", managedBy: recorderName},
		},
		Spec: v1alpha1.DistributedLockSpec{ID: id},
	})
	switch {
	case apierrors.IsAlreadyExists(err): // the cache is late, or somebody took the name
		return nil
	case apierrors.IsInvalid(err):
		// The library takes ids that no object can have, such as those with control characters.
		log.FromContext(ctx).Info("A lock cannot be shown: its id is none that an object may have", "lock", id)
		return nil
	case err != nil:
		return fmt.Errorf("create an object for the lock %q: %w", id, err)
	}
	return nil
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
