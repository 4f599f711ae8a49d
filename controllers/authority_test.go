/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package controllers

import (
	"testing"
	"time"

	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/event"

	"github.com/mongolock/operator/api/v1alpha1"
	"github.com/mongolock/operator/pkg/mongolock"
)

func TestWhoWrites(t *testing.T) {
	for _, tt := range []struct {
		name   string
		leads  bool
		health Health
		state  mongolock.State
		want   string // Ready; "absent": nothing was written
	}{
		{"leader, healthy", true, healthy, acquiredByA, "True/Mirrored"},
		{"standby, healthy", false, healthy, acquiredByA, "absent"},
		{"leader, settling", true, Health{}, acquiredByA, "absent"},
		{"standby, settling", false, Health{}, acquiredByA, "absent"},
		{"leader, failed", true, failed, acquiredByA, "False/StoreUnreachable"},
		{"standby, failed", false, failed, acquiredByA, "False/StoreUnreachable"},
		{"leader, absence not confirmed", true, healthy, mongolock.State{}, "absent"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newReconciling(t, tt.leads, newLock(""))
			r.see(tt.health, tt.state)
			lock, _ := r.pass()
			if got := conditionOf(lock.Status, "Ready"); got != tt.want {
				t.Errorf("Ready is %s, want %s", got, tt.want)
			}
			if _, written := r.pass(); written {
				t.Error("a second pass writes again")
			}
		})
	}
}

// An outage is said once per object, reason and outage; whoever contradicts wins, until the next outage.
func TestOutageIsSaidOnce(t *testing.T) {
	r := newReconciling(t, false, newLock(""))
	contradict := func() {
		lock := r.object()
		lock.Status = desiredStatus(lock, View{State: acquiredByA, Health: healthy}, claim{}, t0)
		if err := r.client.Status().Update(r.Context(), lock); err != nil {
			t.Fatal(err)
		}
	}
	denied := Health{Phase: Failed, Reason: v1alpha1.ReasonStoreUnauthorized, Outage: 1}
	next := Health{Phase: Failed, Reason: v1alpha1.ReasonStoreUnreachable, Outage: 2}
	for i, step := range []struct {
		health Health
		writes bool
	}{{failed, true}, {failed, false}, {denied, true}, {failed, false}, {denied, false}, {next, true}, {next, false}} {
		contradict()
		r.see(step.health, acquiredByA)
		if _, written := r.pass(); written != step.writes {
			t.Errorf("step %d: written %t, want %t", i, written, step.writes)
		}
	}
	// An object that was replaced by one of the same name has not been told.
	if err := r.client.Delete(r.Context(), r.object()); err != nil {
		t.Fatal(err)
	}
	replacement := newLock("")
	replacement.UID = "another"
	if err := r.client.Create(r.Context(), replacement); err != nil {
		t.Fatal(err)
	}
	if _, written := r.pass(); !written {
		t.Error("the new object was not told of the outage")
	}
}

// A leader whose picture is late does not write it over a newer status; but a status that stays ahead is wrong.
func TestLatePicture(t *testing.T) {
	one, two := transition(1, mongolock.EventAcquired, "a", 7), transition(2, mongolock.EventReleased, "a", 7)
	early, late := lockState([]mongolock.Event{one}, "a"), lockState([]mongolock.Event{one, two})
	next := lockState([]mongolock.Event{transition(1, mongolock.EventAcquired, "b", 9)}, "b")
	for _, tt := range []struct {
		name            string
		shown, pictured mongolock.State
	}{{"same token", late, early}, {"smaller token", next, late}} {
		t.Run(tt.name, func(t *testing.T) {
			r := newReconciling(t, true, mirrored(tt.shown))
			r.see(healthy, tt.pictured)
			for range 2 {
				before := r.object().ResourceVersion
				result, err := r.Reconcile(t.Context(), ctrl.Request{NamespacedName: r.key})
				if err != nil || result.RequeueAfter != again || r.object().ResourceVersion != before || len(r.events.Events) > 0 {
					t.Errorf("result %+v, error %v, written %t, %d events", result, err, r.object().ResourceVersion != before, len(r.events.Events))
				}
				r.clock.Step(behindLimit / 2)
			}
			if _, written := r.pass(); !written {
				t.Errorf("not written after %s", behindLimit)
			}
		})
	}
	// Made anew after a purge, by a holder or by a policy before anybody has held it.
	suspended := mongolock.State{ID: next.ID, Exists: true, ChangedAt: late.ChangedAt.Add(time.Hour), Policy: mongolock.Policy{Suspended: true}}
	for name, state := range map[string]mongolock.State{"held": next, "never held": suspended} {
		r := newReconciling(t, true, mirrored(late))
		r.see(healthy, state)
		if lock, written := r.pass(); !written || lock.Status.Suspended != state.Policy.Suspended {
			t.Errorf("%s: a document made anew is not shown", name)
		}
	}
	// That of before the first holder is late, too.
	suspended.ChangedAt = early.ChangedAt.Add(-time.Second)
	r := newReconciling(t, true, mirrored(early))
	r.see(healthy, suspended)
	if _, written := r.pass(); written {
		t.Error("a picture from before the first acquisition was written")
	}
}

// A replica that does not lead leaves an object that shows the lock alone until nobody can lead any more.
func TestStandbyWaits(t *testing.T) {
	const lease = 30 * time.Second
	outage := Health{Phase: Failed, Reason: v1alpha1.ReasonStoreUnreachable, Outage: 1, Since: t0.Add(-10 * time.Second)}
	for _, tt := range []struct {
		name   string
		lock   *v1alpha1.DistributedLock
		leads  bool
		writes bool
	}{
		{"standby", mirrored(acquiredByA), false, false},
		{"leader", mirrored(acquiredByA), true, true},
		{"nobody has said anything yet", newLock(""), false, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newReconciling(t, tt.leads, tt.lock)
			r.standbyDelay = lease
			r.see(outage, acquiredByA)
			before := r.object().ResourceVersion
			result, err := r.Reconcile(t.Context(), ctrl.Request{NamespacedName: r.key})
			if err != nil || (r.object().ResourceVersion != before) != tt.writes {
				t.Fatalf("written %t, error %v", !tt.writes, err)
			}
			if wait := result.RequeueAfter; !tt.writes && (wait < 20*time.Second || wait > 20*time.Second+outageSpread) {
				t.Errorf("looks again after %s", result.RequeueAfter)
			}
			r.clock.Step(20 * time.Second)
			if lock, _ := r.pass(); conditionOf(lock.Status, "Ready") != "False/StoreUnreachable" {
				t.Errorf("status %+v", lock.Status)
			}
		})
	}
}

// A replica that does not lead says nothing but that the store does not work.
func TestStandbyLeavesForeignIDsAlone(t *testing.T) {
	r := newReconciling(t, false, newLock("elsewhere/lock"))
	r.see(failed, mongolock.State{})
	if lock, written := r.pass(); written {
		t.Errorf("wrote %+v", lock.Status)
	}
}

// A reason that comes back in one outage is said again, at most once a minute, if nobody else has spoken meanwhile.
func TestReasonComesBack(t *testing.T) {
	denied := Health{Phase: Failed, Reason: v1alpha1.ReasonStoreUnauthorized, Outage: 1}
	r := newReconciling(t, false, newLock(""))
	for _, h := range []Health{failed, denied} {
		r.see(h, acquiredByA)
		if _, written := r.pass(); !written {
			t.Fatalf("%s was not said", h.Reason)
		}
	}
	r.see(failed, acquiredByA)
	result, err := r.Reconcile(t.Context(), ctrl.Request{NamespacedName: r.key})
	if err != nil || result.RequeueAfter != repeatPause || conditionOf(r.object().Status, "Ready") != "False/StoreUnauthorized" {
		t.Errorf("at once: %+v, %v, %+v", result, err, r.object().Status)
	}
	r.clock.Step(repeatPause)
	if lock, _ := r.pass(); conditionOf(lock.Status, "Ready") != "False/StoreUnreachable" {
		t.Errorf("after a minute: %+v", lock.Status)
	}
}

// One that is cut off alone hears that somebody else leads, and keeps silent for as long as that one can lead; a spec that people change
// is no sign of life.
func TestStandbyHearsTheLeader(t *testing.T) {
	const lease = 30 * time.Second
	outage := Health{Phase: Failed, Reason: v1alpha1.ReasonStoreUnreachable, Outage: 1, Since: t0.Add(-time.Hour)}
	for _, lock := range []*v1alpha1.DistributedLock{newLock(""), mirrored(acquiredByA)} {
		r := newReconciling(t, false, lock)
		r.standbyDelay = lease
		r.see(outage, acquiredByA)
		before, after := mirrored(acquiredByA), mirrored(lockState([]mongolock.Event{transition(2, mongolock.EventAcquired, "b", 8)}, "b"))
		r.worthALook().Update(event.UpdateEvent{ObjectOld: before, ObjectNew: after})
		if result := r.reconcile(); result.RequeueAfter < lease || result.RequeueAfter > lease+outageSpread {
			t.Errorf("looks again after %s", result.RequeueAfter)
		}
		r.clock.Step(lease)
		edited := after.DeepCopy()
		edited.Spec.Suspend = ptr.To(true)
		r.worthALook().Update(event.UpdateEvent{ObjectOld: after, ObjectNew: edited})
		if lock, written := r.pass(); !written || conditionOf(lock.Status, "Ready") != "False/StoreUnreachable" {
			t.Errorf("when nobody can lead any more: %+v", lock.Status)
		}
		// What was said is not said again, so nothing is waited for.
		r.worthALook().Update(event.UpdateEvent{ObjectOld: before, ObjectNew: after})
		if result := r.reconcile(); result.RequeueAfter != 0 {
			t.Errorf("looks again after %s although all is said", result.RequeueAfter)
		}
	}
}
