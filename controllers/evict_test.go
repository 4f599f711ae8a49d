/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package controllers

import (
	"fmt"
	"strings"
	"testing"

	"github.com/mongolock/operator/api/v1alpha1"
	"github.com/mongolock/operator/pkg/mongolock"
)

// toEvict is a reconciler of an object whose annotation asks to evict the holder with token 7, and its store, which answers so.
func toEvict(t *testing.T, lock *v1alpha1.DistributedLock, answer error) (*reconciling, *fakeStore) {
	t.Helper()
	lock.Annotations = map[string]string{v1alpha1.EvictAnnotation: "7"}
	r := newReconciling(t, true, lock)
	store := &fakeStore{refuses: answer}
	r.mirror.store = store
	return r, store
}

// evictedA is what acquiredByA becomes by that.
var evictedA = lockState([]mongolock.Event{transition(1, mongolock.EventAcquired, "a", 7), transition(2, mongolock.EventEvicted, "a", 7)})

// Whatever prevents an eviction, the lock is mirrored.
func TestFailingEvictionHoldsNothingUp(t *testing.T) {
	for err, want := range map[error]string{mongolock.ErrUnreachable: "True/Mirrored", mongolock.ErrForeignDocument: "False/ForeignDocument"} {
		r, _ := toEvict(t, newLock(""), err)
		if want == "True/Mirrored" {
			r.see(healthy, acquiredByA)
		} else {
			r.see(healthy, mongolock.State{})
			r.mirror.absent["orders/report"] = absence{foreign: true, at: r.clock.Now()}
		}
		r.reconcile()
		r.reconcile()
		after := r.object()
		if got := conditionOf(after.Status, "Ready"); got != want {
			t.Errorf("%v: Ready is %s, want %s", err, got, want)
		}
		if refused := len(after.Annotations) == 0; refused != (want != "True/Mirrored") {
			t.Errorf("%v: annotations %v", err, after.Annotations)
		}
	}
}

// An operator that was killed between the eviction and the removal of the annotation does not report a failure afterwards.
func TestEvictionIsNotRepeated(t *testing.T) {
	r, store := toEvict(t, newLock(""), mongolock.ErrNotHeld)
	r.see(healthy, evictedA)
	r.reconcile()
	if got := <-r.events.Events; len(store.evicted) > 0 || len(r.object().Annotations) > 0 || !strings.HasPrefix(got, "Warning HolderEvicted") {
		t.Errorf("evicted %v, annotations %v, event %q", store.evicted, r.object().Annotations, got)
	}
}

// While MongoDB does not answer the annotation stays.
func TestEvictionIsTriedAgain(t *testing.T) {
	r, store := toEvict(t, newLock(""), mongolock.ErrUnreachable)
	r.see(healthy, acquiredByA)
	if result := r.reconcile(); result.RequeueAfter != again || len(r.object().Annotations) != 1 || len(r.events.Events) != 1 { // the acquisition's
		t.Errorf("result %+v, annotations %v", result, r.object().Annotations)
	}
	store.refuses = nil
	r.reconcile()
	if len(r.object().Annotations) > 0 || len(store.evicted) != 2 {
		t.Errorf("annotations %v, evicted %v", r.object().Annotations, store.evicted)
	}
	if got := r.object().Status.Holder; got != "a" {
		t.Errorf("holder %q", got)
	}
}

// An eviction whose reply was lost is not reported as refused because the next try finds nobody: the feed is given time to tell.
func TestEvictionWithoutAReply(t *testing.T) {
	for _, tt := range []struct {
		name string
		told bool // the feed tells of the eviction
		want string
	}{{"it was ours", true, "Warning HolderEvicted"}, {"the holder had gone", false, "Warning EvictionRefused"}} {
		t.Run(tt.name, func(t *testing.T) {
			r, store := toEvict(t, mirrored(acquiredByA), fmt.Errorf("%w: %w", mongolock.ErrOutcomeUnknown, mongolock.ErrUnreachable))
			r.see(healthy, acquiredByA)
			r.reconcile()
			store.refuses = mongolock.ErrNotHeld
			if result := r.reconcile(); result.RequeueAfter != again || len(r.object().Annotations) != 1 || len(r.events.Events) > 0 {
				t.Fatalf("looks again after %s, annotations %v, %d events", result.RequeueAfter, r.object().Annotations, len(r.events.Events))
			}
			if tt.told {
				r.see(healthy, evictedA)
			}
			r.clock.Step(feedShows)
			r.reconcile()
			if got := <-r.events.Events; len(r.object().Annotations) > 0 || !strings.HasPrefix(got, tt.want) {
				t.Errorf("annotations %v, event %q, want %q", r.object().Annotations, got, tt.want)
			}
		})
	}
}
