//go:build linux

/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package main

import (
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/mongolock/operator/api/v1alpha1"
	"github.com/mongolock/operator/pkg/mongolock"
)

func object(name string, status v1alpha1.DistributedLockStatus) v1alpha1.DistributedLock {
	return v1alpha1.DistributedLock{ObjectMeta: metav1.ObjectMeta{Namespace: "demo", Name: name}, Status: status}
}

func TestCompare(t *testing.T) {
	held := v1alpha1.DistributedLockStatus{State: v1alpha1.StateHeld, Holder: "w1", FencingToken: 7, Transitions: 3}
	free := v1alpha1.DistributedLockStatus{State: v1alpha1.StateFree, FencingToken: 5, Transitions: 1}
	states := map[string]mongolock.State{
		"demo/a": {ID: "demo/a", Exists: true, Holders: []mongolock.Holder{{Owner: "w1", Token: 7}}, Token: 7, Grants: 3},
		"demo/b": {ID: "demo/b", Exists: true, Token: 5, Grants: 1},
	}
	rows, differences := compare([]v1alpha1.DistributedLock{object("b", free), object("a", held)}, states)
	if len(differences) != 0 || len(rows) != 2 || rows[0].lock != "demo/a" {
		t.Fatalf("got %v, %q", rows, differences)
	}
	want := "" +
		"LOCK     STATE   HOLDER   TOKEN   TRANSITIONS\n" +
		"demo/a   Held    w1       7       3\n" +
		"demo/b   Free    -        5       1\n"
	if got := table(rows); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}

	for name, spoil := range map[string]func(*v1alpha1.DistributedLockStatus){
		"state":       func(s *v1alpha1.DistributedLockStatus) { s.State = v1alpha1.StateFree },
		"holder":      func(s *v1alpha1.DistributedLockStatus) { s.Holder = "w2" },
		"token":       func(s *v1alpha1.DistributedLockStatus) { s.FencingToken++ },
		"transitions": func(s *v1alpha1.DistributedLockStatus) { s.Transitions-- },
	} {
		status := held
		spoil(&status)
		if _, differences := compare([]v1alpha1.DistributedLock{object("a", status)}, states); len(differences) != 1 {
			t.Errorf("another %s: %q", name, differences)
		}
	}
	if _, differences := compare([]v1alpha1.DistributedLock{object("c", free)}, states); len(differences) != 1 {
		t.Errorf("a lock that MongoDB does not have: %q", differences)
	}
}

func TestCheckMirrorNeedsAllLocks(t *testing.T) {
	rows := make([]row, len(workerLocks)+1)
	expectCheck(t, checkMirror(rows, nil), true)
	expectCheck(t, checkMirror(rows[1:], nil), false)
	expectCheck(t, checkMirror(nil, nil), false)
	expectCheck(t, checkMirror(rows, []string{"one"}), false)
}
