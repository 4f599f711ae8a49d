/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package controllers

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/mongolock/operator/api/v1alpha1"
	"github.com/mongolock/operator/pkg/mongolock"
)

// The API server itself refuses what cannot work, and says why.
func TestValidation(t *testing.T) {
	e := newEnv(t)
	const (
		immutable = "id is immutable"
		control   = "id must not contain control characters"
		space     = "id must not begin or end with white space"
		reserved  = "id must not begin with mongolock:selftest/"
	)
	tests := []struct {
		name, id, change string // change: the id that it is changed to; "-" takes it out; "" leaves it
		message          string // "": accepted
	}{
		{"default", "", "", ""},
		{"simple", "a/b", "", ""},
		{"unicode", "aufträge/täglich", "", ""},
		{"longest", "ns/" + strings.Repeat("x", 509), "", ""},
		{"longest-in-bytes", strings.Repeat("ä", 256), "", ""},
		{"too-long", strings.Repeat("x", 513), "", "Too long: may not be more than 512"},
		{"too-long-in-bytes", strings.Repeat("ä", 257), "", "id must be at most 512 bytes in UTF-8"},
		{"tab", "a/\tb", "", control},
		{"line-break", "a/b\nc", "", control},
		{"null", "a/\x00b", "", control},
		{"leading-space", " a/b", "", space},
		{"trailing-space", "a/b ", "", space},
		{"reserved", "mongolock:selftest/x", "", reserved},
		{"changed", "a/b", "a/c", immutable},
		{"set-later", "", "a/b", immutable},
		{"taken-out", "a/b", "-", immutable},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			lock := &v1alpha1.DistributedLock{
				ObjectMeta: metav1.ObjectMeta{Namespace: e.namespace, Name: tt.name}, Spec: v1alpha1.DistributedLockSpec{ID: tt.id},
			}
			err := e.api.Create(t.Context(), lock)
			if tt.change != "" && err == nil {
				lock.Spec.ID = strings.TrimPrefix(tt.change, "-")
				err = e.api.Update(t.Context(), lock)
			}
			switch {
			case tt.message == "" && err != nil:
				t.Errorf("refused: %v", err)
			case tt.message != "" && (err == nil || !strings.Contains(err.Error(), tt.message)):
				t.Errorf("got %v, want a refusal that says %q", err, tt.message)
			}
		})
	}
	empty := `{"apiVersion":"locks.mongolock.dev/v1alpha1","kind":"DistributedLock","metadata":{"name":"empty","namespace":"` + e.namespace + `"},"spec":{"id":""}}`
	if out, err := e.kubectlIn(empty, "apply", "-f", "-"); err == nil || !strings.Contains(out, "should be at least 1 chars long") {
		t.Errorf("an empty id: %v %s", err, out)
	}
}

// An object that no operator has seen says so in a way that tools understand: kstatus takes it for in progress, not for done.
func TestStatusDefault(t *testing.T) {
	e := newEnv(t)
	e.create("fresh", "")
	if got := e.get("fresh").Status.ObservedGeneration; got != -1 {
		t.Errorf("observedGeneration is %d, want -1", got)
	}
}

// The largest status fits the schema, and comes back as it was written: nothing is written twice.
func TestLargestStatusIsAccepted(t *testing.T) {
	e := newEnv(t)
	feed := newFakeFeed()
	e.start(operatorOptions{store: &fakeStore{feed: feed}})
	e.create("monster", "")
	e.shows(soon, "monster", "Ready True/Mirrored")
	state := monster()
	state.ID = e.namespace + "/monster"
	w := e.watchWrites()
	feed.changes <- mongolock.Change{State: state}
	lock := e.shows(soon, "monster", "Held True/Acquired")
	if n := len(lock.Status.Holders); n != v1alpha1.MaxHolders {
		t.Errorf("%d holders", n)
	}
	if s := desiredStatus(lock, View{State: state, Health: healthy}, claim{}, t0); !equality.Semantic.DeepEqual(s, lock.Status) {
		t.Errorf("it would be written again:\n%+v\n%+v", lock.Status, s)
	}
	e.unchanged(w, 1, "monster")
}
