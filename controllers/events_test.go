/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package controllers

import (
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/client-go/tools/events"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/mongolock/operator/api/v1alpha1"
	"github.com/mongolock/operator/pkg/mongolock"
)

func TestUnseen(t *testing.T) {
	one := transition(1, mongolock.EventAcquired, "a", 7)
	two := transition(2, mongolock.EventReleased, "a", 7)
	three := transition(3, mongolock.EventAcquired, "b", 8)
	past := one
	past.At = t0.Add(-time.Hour)
	reborn := transition(1, mongolock.EventAcquired, "c", 99)
	var later []mongolock.Event
	for i := int64(20); i < 36; i++ {
		later = append(later, transition(i, mongolock.EventAcquired, "z", i))
	}
	stalled := newLock("")
	stalled.Status = desiredStatus(stalled, View{Foreign: true, Health: healthy}, claim{}, two.At.Add(500*time.Millisecond))
	tests := []struct {
		name   string
		before *v1alpha1.DistributedLock
		now    []mongolock.Event
		want   []mongolock.Event
	}{
		{"nothing new", mirrored(lockState([]mongolock.Event{one, two})), []mongolock.Event{one, two}, nil},
		{"new ones", mirrored(lockState([]mongolock.Event{one})), []mongolock.Event{one, two, three}, []mongolock.Event{two, three}},
		{"first ever", mirrored(mongolock.State{}), []mongolock.Event{one}, []mongolock.Event{one}},
		{"the object is new, the past is not news", newLock(""), []mongolock.Event{past, two}, []mongolock.Event{two}},
		{"the object is new, all is past", newLock(""), []mongolock.Event{past}, nil},
		{"back after it was stalled", stalled, []mongolock.Event{one, two, three}, []mongolock.Event{three}},
		{"more than the ring holds", mirrored(lockState([]mongolock.Event{one})), later, later},
		{"purged and used again", mirrored(lockState([]mongolock.Event{one, two})), []mongolock.Event{reborn}, []mongolock.Event{reborn}},
		{"purged and used more often than before", mirrored(lockState([]mongolock.Event{one})), []mongolock.Event{reborn, two}, []mongolock.Event{reborn, two}},
		{"purged", mirrored(lockState([]mongolock.Event{one, two})), nil, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := unseen(tt.before, lockState(tt.now))
			if !slices.Equal(got, tt.want) {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
		})
	}
}

// A document edited by hand makes no new series of metrics.
func TestTypeLabel(t *testing.T) {
	for kind, want := range map[mongolock.EventType]string{mongolock.EventExpired: "expired", "": "other", "invented": "other"} {
		if got := typeLabel(kind); got != want {
			t.Errorf("%q has the label %q, want %q", kind, got, want)
		}
	}
}

func TestReport(t *testing.T) {
	acquired := lockState([]mongolock.Event{transition(1, mongolock.EventAcquired, "a%d", 7)}, "a%d")
	inOutage := func(lock *v1alpha1.DistributedLock) *v1alpha1.DistributedLock {
		lock.Status = desiredStatus(lock, View{Health: failed}, claim{}, t0)
		return lock
	}
	otherPolicy := func(lock *v1alpha1.DistributedLock, state mongolock.State) *v1alpha1.DistributedLock {
		lock.Status = desiredStatus(lock, View{State: state, PolicyPending: true, Health: healthy}, claim{}, t0)
		return lock
	}
	long := lockState([]mongolock.Event{transition(1, mongolock.EventExpired, strings.Repeat("\x01", 256), 7)})
	evicted := lockState([]mongolock.Event{transition(1, mongolock.EventAcquired, "a%d", 7), {
		Seq: 2, Type: mongolock.EventEvicted, Owner: "a", Token: 7, At: t0, Reason: "it hangs",
	}})
	tests := []struct {
		name          string
		before, after *v1alpha1.DistributedLock
		state         mongolock.State
		want          []string
	}{
		{"acquired", mirrored(mongolock.State{}), mirrored(acquired), acquired, []string{`Normal LockAcquired "a%d" acquired the lock with token 7`}},
		{"outage", mirrored(acquired), inOutage(mirrored(acquired)), acquired,
			[]string{"Warning StoreUnreachable " + storeMessages["StoreUnreachable"]}},
		{"outage goes on", inOutage(mirrored(acquired)), inOutage(mirrored(acquired)), acquired, nil},
		{"recovered", inOutage(mirrored(acquired)), mirrored(acquired), acquired,
			[]string{"Normal StoreRecovered The status shows the lock as MongoDB has it again."}},
		{"recovered, with news", inOutage(mirrored(mongolock.State{})), mirrored(acquired), acquired,
			[]string{"Normal StoreRecovered The status shows the lock as MongoDB has it again.", `Normal LockAcquired "a%d" acquired the lock with token 7`}},
		{"recovered, with another policy", inOutage(mirrored(mongolock.State{})), otherPolicy(mirrored(acquired), acquired), acquired,
			[]string{"Normal StoreRecovered The status shows the lock as MongoDB has it again.", `Normal LockAcquired "a%d" acquired the lock with token 7`}},
		{"evicted", mirrored(acquired), mirrored(evicted), evicted,
			[]string{`Warning LockEvicted The lock was taken away from "a" with token 7: it hangs`}},
		{"long note", mirrored(mongolock.State{}), mirrored(long), long,
			[]string{"Warning LockExpired " + `The lease of "` + strings.Repeat(`\x01`, 250)}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			recorder := events.NewFakeRecorder(10)
			r := &Reconciler{recorder: recorder, budget: newEventBudget(clocktesting.NewFakeClock(t0))}
			r.report(tt.before, tt.after, View{State: tt.state, Health: healthy})
			close(recorder.Events)
			var got []string
			for e := range recorder.Events {
				got = append(got, e)
			}
			if len(got) != len(tt.want) {
				t.Fatalf("got %q, want %q", got, tt.want)
			}
			for i := range got {
				if !strings.HasPrefix(got[i], tt.want[i]) || len(got[i]) > maxNote+40 {
					t.Errorf("got %q, want %q", got[i], tt.want[i])
				}
			}
		})
	}
}
