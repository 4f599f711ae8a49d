/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package controllers

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/mongolock/operator/api/v1alpha1"
	"github.com/mongolock/operator/pkg/mongolock"
)

var (
	t0      = time.Date(2026, 1, 2, 3, 4, 5, 678e6, time.UTC)
	healthy = Health{Phase: Healthy}
	failed  = Health{Phase: Failed, Reason: v1alpha1.ReasonStoreUnreachable, Outage: 1}
)

func newLock(id string) *v1alpha1.DistributedLock {
	return &v1alpha1.DistributedLock{
		ObjectMeta: metav1.ObjectMeta{Namespace: "orders", Name: "report", UID: "uid", Generation: 1, CreationTimestamp: metav1.NewTime(t0)},
		Spec:       v1alpha1.DistributedLockSpec{ID: id},
		Status:     v1alpha1.DistributedLockStatus{ObservedGeneration: -1},
	}
}

func transition(seq int64, kind mongolock.EventType, owner string, token int64) mongolock.Event {
	return mongolock.Event{Seq: seq, Type: kind, Owner: owner, Token: token, At: t0.Add(time.Duration(seq) * time.Second)}
}

// lockState is the state of a lock after these events; owners names the present holders, whose tokens end the list.
func lockState(events []mongolock.Event, owners ...string) mongolock.State {
	s := mongolock.State{ID: "orders/report", Exists: true, Events: events}
	if n := len(events); n > 0 {
		s.Seq, s.Token, s.ChangedAt, s.Grants = events[n-1].Seq, events[n-1].Token, events[n-1].At, 1
	}
	for i, owner := range owners {
		s.Holders = append(s.Holders, mongolock.Holder{
			Owner: owner, Token: s.Token - int64(len(owners)-1-i), Lease: 15 * time.Second, AcquiredAt: s.ChangedAt,
			ExpiresAt: s.ChangedAt.Add(15 * time.Second),
		})
	}
	return s
}

// mirrored is newLock("") after the status was written for state.
func mirrored(state mongolock.State) *v1alpha1.DistributedLock {
	lock := newLock("")
	lock.Status = desiredStatus(lock, View{State: state, Health: healthy}, claim{}, t0)
	return lock
}

func conditionOf(s v1alpha1.DistributedLockStatus, kind string) string {
	c := meta.FindStatusCondition(s.Conditions, kind)
	if c == nil {
		return "absent"
	}
	return string(c.Status) + "/" + c.Reason
}

// Somebody who begins to wait changes the lock's document, and not when its holder came.
func TestQueueIsNoTransition(t *testing.T) {
	before := lockState([]mongolock.Event{transition(1, mongolock.EventAcquired, "a", 7)}, "a")
	after := before
	after.ChangedAt = before.ChangedAt.Add(time.Minute)
	if was, is := mirrored(before).Status, mirrored(after).Status; !equality.Semantic.DeepEqual(was, is) {
		t.Errorf("the status changed from %+v to %+v", was, is)
	}
}

func TestDesiredStatus(t *testing.T) {
	acquired := []mongolock.Event{transition(1, mongolock.EventAcquired, "a", 7)}
	released := append(acquired[:1:1], transition(2, mongolock.EventReleased, "a", 7))
	expired := append(acquired[:1:1], transition(2, mongolock.EventExpired, "a", 7))
	evicted := append(acquired[:1:1], transition(2, mongolock.EventEvicted, "a", 7))
	absent := mongolock.State{ID: "orders/report"}
	refused := claim{v1alpha1.ReasonIDNotAllowed, "No."}
	tests := []struct {
		name  string
		lock  *v1alpha1.DistributedLock
		view  View
		claim claim

		ready, held, stalled string
		state                v1alpha1.LockState
		holder               string
		token                int64
		events               int
	}{
		{name: "never acquired", lock: newLock(""), view: View{State: absent, Health: healthy},
			ready: "True/Mirrored", held: "False/NeverAcquired", stalled: "absent", state: "Free"},
		{name: "a stub that nobody was granted", lock: newLock(""), view: View{State: lockState(nil), Health: healthy},
			ready: "True/Mirrored", held: "False/NeverAcquired", stalled: "absent", state: "Free"},
		{name: "held", lock: newLock(""), view: View{State: lockState(acquired, "a"), Health: healthy},
			ready: "True/Mirrored", held: "True/Acquired", stalled: "absent", state: "Held", holder: "a", token: 7, events: 1},
		{name: "released", lock: mirrored(lockState(acquired, "a")), view: View{State: lockState(released), Health: healthy},
			ready: "True/Mirrored", held: "False/Released", stalled: "absent", state: "Free", token: 7, events: 2},
		{name: "expired", lock: mirrored(lockState(acquired, "a")), view: View{State: lockState(expired), Health: healthy},
			ready: "True/Mirrored", held: "False/Expired", stalled: "absent", state: "Free", token: 7, events: 2},
		{name: "evicted", lock: mirrored(lockState(acquired, "a")), view: View{State: lockState(evicted), Health: healthy},
			ready: "True/Mirrored", held: "False/Evicted", stalled: "absent", state: "Free", token: 7, events: 2},
		{name: "expired, not swept yet", lock: mirrored(lockState(acquired, "a")), view: View{State: lockState(acquired), Health: healthy},
			ready: "True/Mirrored", held: "False/Expired", stalled: "absent", state: "Free", token: 7, events: 1},
		{name: "purged: the past is kept", lock: mirrored(lockState(released)), view: View{State: absent, Health: healthy},
			ready: "True/Mirrored", held: "False/Released", stalled: "absent", state: "Free", token: 7, events: 2},
		{name: "deleted while held", lock: mirrored(lockState(acquired, "a")), view: View{State: absent, Health: healthy},
			ready: "True/Mirrored", held: "False/Removed", stalled: "absent", state: "Free", token: 7, events: 1},
		{name: "outage keeps the last that was known", lock: mirrored(lockState(acquired, "a")), view: View{State: lockState(released), Health: failed},
			ready: "False/StoreUnreachable", held: "True/Acquired", stalled: "absent", state: "Held", holder: "a", token: 7, events: 1},
		{name: "outage before the first look", lock: newLock(""), view: View{State: absent, Health: failed},
			ready: "False/StoreUnreachable", held: "Unknown/NotMirrored", stalled: "absent"},
		{name: "stalled", lock: mirrored(lockState(acquired, "a")), view: View{State: lockState(acquired, "a"), Health: healthy}, claim: refused,
			ready: "False/IdNotAllowed", held: "Unknown/NotMirrored", stalled: "True/IdNotAllowed"},
		{name: "stalled in an outage", lock: newLock(""), view: View{State: absent, Health: failed}, claim: refused,
			ready: "False/IdNotAllowed", held: "Unknown/NotMirrored", stalled: "True/IdNotAllowed"},
		{name: "policy pending", lock: newLock(""), view: View{State: lockState(acquired, "a"), PolicyPending: true, Health: healthy},
			ready: "False/PolicyNotApplied", held: "True/Acquired", stalled: "absent", state: "Held", holder: "a", token: 7, events: 1},
		{name: "own id set explicitly", lock: newLock("orders/other/one"), view: View{State: lockState(acquired, "a"), Health: healthy},
			ready: "True/Mirrored", held: "True/Acquired", stalled: "absent", state: "Held", holder: "a", token: 7, events: 1},
		{name: "foreign document", lock: mirrored(lockState(acquired, "a")), view: View{State: absent, Foreign: true, Health: healthy},
			ready: "False/ForeignDocument", held: "Unknown/NotMirrored", stalled: "True/ForeignDocument"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := desiredStatus(tt.lock, tt.view, tt.claim, t0.Add(time.Minute))
			for kind, want := range map[string]string{"Ready": tt.ready, "Held": tt.held, "Stalled": tt.stalled} {
				if got := conditionOf(s, kind); got != want {
					t.Errorf("%s is %s, want %s", kind, got, want)
				}
			}
			if s.State != tt.state || s.Holder != tt.holder || s.FencingToken != tt.token || len(s.Events) != tt.events {
				t.Errorf("state %q, holder %q, token %d, %d events; want %q, %q, %d, %d",
					s.State, s.Holder, s.FencingToken, len(s.Events), tt.state, tt.holder, tt.token, tt.events)
			}
			if s.ObservedGeneration != 1 || s.ID != tt.lock.LockID() {
				t.Errorf("observedGeneration %d, id %q", s.ObservedGeneration, s.ID)
			}
			tt.lock.Status = s
			if again := desiredStatus(tt.lock, tt.view, tt.claim, t0.Add(time.Hour)); !equality.Semantic.DeepEqual(s, again) {
				t.Errorf("a second pass an hour later changes the status:\n%+v\n%+v", s, again)
			}
		})
	}
}

// A renewal changes nothing that is shown.
func TestRenewalsDoNotShow(t *testing.T) {
	state := lockState([]mongolock.Event{transition(1, mongolock.EventAcquired, "a", 7)}, "a")
	lock := mirrored(state)
	state.Holders[0].ExpiresAt = state.Holders[0].ExpiresAt.Add(time.Minute)
	state.Holders[0].Revision = 99
	state.ReadAt = t0.Add(time.Hour)
	if s := desiredStatus(lock, View{State: state, Health: healthy}, claim{}, t0.Add(time.Hour)); !equality.Semantic.DeepEqual(lock.Status, s) {
		t.Errorf("the status changed from %+v to %+v", lock.Status, s)
	}
}

// What MongoDB has is shown in full: times to the millisecond, each holder's own lease, the order of grants.
func TestStatusDetails(t *testing.T) {
	state := lockState([]mongolock.Event{transition(1, mongolock.EventAcquired, "a", 7), transition(2, mongolock.EventAcquired, "b", 8)}, "a", "b")
	state.Holders[0], state.Holders[1] = state.Holders[1], state.Holders[0]
	s := mirrored(state).Status
	if s.HolderCount != 2 || s.Holders[0].Owner != "a" || s.Holders[1].Owner != "b" || s.Holder != "a" {
		t.Errorf("holders are not in order of their grants: %+v", s.Holders)
	}
	if s.Holders[0].LeaseDuration.Duration != 15*time.Second || !s.Holders[0].AcquiredAt.Time.Equal(state.ChangedAt) {
		t.Errorf("holder is %+v", s.Holders[0])
	}
	if s.LastTransitionTime == nil || !s.LastTransitionTime.Time.Equal(state.ChangedAt) || s.Transitions != 1 {
		t.Errorf("lastTransitionTime %v, transitions %d", s.LastTransitionTime, s.Transitions)
	}
	held := meta.FindStatusCondition(s.Conditions, "Held")
	if want := state.ChangedAt.Truncate(time.Second); !held.LastTransitionTime.Time.Equal(want) {
		t.Errorf("Held changed at %v, want the lock's own time %v", held.LastTransitionTime, want)
	}
	if held.Message != `"a" with token 7 and 1 more hold the lock.` {
		t.Errorf("message %q", held.Message)
	}
}

// monster is a state with more and longer of everything than the engine allows.
func monster() mongolock.State {
	long := strings.Repeat("ä", 300) + "\xff"
	var events []mongolock.Event
	var owners []string
	for i := int64(1); i <= 16; i++ {
		events = append(events, transition(i, "something-new-"+mongolock.EventType(long), long, 100+i))
	}
	for range 40 {
		owners = append(owners, "\xff"+long)
	}
	return lockState(events, owners...)
}

// Whatever is in the database, the status stays within the bounds of the schema, or the API server would refuse all of it.
func TestStatusIsBounded(t *testing.T) {
	s := mirrored(monster()).Status
	if len(s.Holders) != v1alpha1.MaxHolders || s.HolderCount != 40 {
		t.Errorf("%d holders, count %d", len(s.Holders), s.HolderCount)
	}
	if len(s.Events) != v1alpha1.MaxEvents || s.Events[0].Seq != 7 || s.Events[9].Seq != 16 {
		t.Errorf("%d events, from %d", len(s.Events), s.Events[0].Seq)
	}
	for what, got := range map[string]string{"owner": s.Holders[0].Owner, "holder": s.Holder, "event's owner": s.Events[0].Owner} {
		if n := len([]rune(got)); n != 256 || !utf8.ValidString(got) {
			t.Errorf("%s has %d characters, want 256 of UTF-8", what, n)
		}
	}
	if n := len([]rune(s.Events[0].Type)); n != 32 {
		t.Errorf("type has %d characters, want 32", n)
	}
}
