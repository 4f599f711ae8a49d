/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package controllers

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/mongolock/operator/api/v1alpha1"
	"github.com/mongolock/operator/pkg/mongolock"
)

// eviction is the last eviction of an object's annotation. It is not ok if the reply was lost.
type eviction struct {
	token int64
	at    time.Time
	ok    bool
}

// evict follows the evict annotation: it takes the lock away from the holder whose token it names, removes the annotation and says so in
// a Warning. It is false if MongoDB did not answer and that has to be tried again.
func (r *Reconciler) evict(ctx context.Context, lock *v1alpha1.DistributedLock, state mongolock.State, c claim) (bool, error) {
	value, asked := lock.Annotations[v1alpha1.EvictAnnotation]
	if !asked {
		return true, nil
	}
	reason := v1alpha1.EventEvictionRefused
	var note string
	switch token, err := strconv.ParseInt(value, 10, 64); {
	case !c.granted():
		note = "This object is stalled, so it cannot take the lock away from anybody"
	case r.claims.discovered(lock):
		note = "The operator made this object, and it is read-only: evict with an object that declares the lock"
	case err != nil || token <= 0:
		note = fmt.Sprintf("The annotation %s must be the token of a holder, see status.holders", v1alpha1.EvictAnnotation)
	default:
		err := r.evictToken(ctx, lock, state, token)
		switch {
		case errors.Is(err, mongolock.ErrNotHeld), errors.Is(err, mongolock.ErrForeignDocument):
			note = fmt.Sprintf("Nobody holds the lock with token %d", token)
		case err != nil:
			log.FromContext(ctx).Info("The holder could not be evicted; trying again", "lock", lock.LockID(), "token", token, "reason", storeReason(err))
			return false, nil
		default:
			reason, note = v1alpha1.EventHolderEvicted, fmt.Sprintf("The lock was taken away from the holder with token %d, as the annotation asked", token)
		}
	}
	before := lock.DeepCopy()
	delete(lock.Annotations, v1alpha1.EvictAnnotation)
	if err := r.client.Patch(ctx, lock, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})); err != nil {
		return false, err
	}
	r.announce(ctx, lock, reason, "Evict", note)
	return true, nil
}

// evictToken evicts a holder, unless that was done before the annotation could be removed, by this process or one before it.
func (r *Reconciler) evictToken(ctx context.Context, lock *v1alpha1.DistributedLock, state mongolock.State, token int64) error {
	isEviction := func(e mongolock.Event) bool { return e.Type == mongolock.EventEvicted && e.Token == token }
	last := r.memory.lastEviction(lock)
	tried := last.token == token
	if tried && last.ok || slices.ContainsFunc(state.Events, isEviction) {
		return nil
	}
	reason := fmt.Sprintf("annotation of the DistributedLock %s/%s", lock.Namespace, lock.Name)
	err := r.mirror.store.Evict(ctx, lock.LockID(), token, reason[:min(len(reason), mongolock.MaxReasonBytes)])
	now := r.clock.Now()
	switch {
	case err == nil, errors.Is(err, mongolock.ErrOutcomeUnknown):
		r.memory.evicted(lock, eviction{token, now, err == nil})
	case errors.Is(err, mongolock.ErrNotHeld) && tried && now.Sub(last.at) < feedShows:
		return mongolock.ErrOutcomeUnknown // it may have been us: the feed will tell
	}
	return err
}
