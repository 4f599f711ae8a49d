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

func TestDisagreement(t *testing.T) {
	state := func(token int64, owners ...string) mongolock.State {
		s := mongolock.State{Token: token}
		for _, owner := range owners {
			s.Holders = append(s.Holders, mongolock.Holder{Owner: owner, Token: token})
		}
		return s
	}
	status := func(reason string, token int64, owner string) *v1alpha1.DistributedLockStatus {
		s := &v1alpha1.DistributedLockStatus{
			State: v1alpha1.StateFree, FencingToken: token,
			Conditions: []metav1.Condition{{Type: v1alpha1.ConditionReady, Reason: reason}},
		}
		if owner != "" {
			s.State, s.Holder, s.HolderCount = v1alpha1.StateHeld, owner, 1
			s.Holders = []v1alpha1.LockHolder{{Owner: owner, Token: token}}
		}
		return s
	}
	const mirrored = v1alpha1.ReasonMirrored
	tests := map[string]struct {
		state  mongolock.State
		status *v1alpha1.DistributedLockStatus
		agrees bool
	}{
		"held":          {state(3, "a"), status(mirrored, 3, "a"), true},
		"free":          {state(3), status(mirrored, 3, ""), true},
		"old token":     {state(3, "a"), status(mirrored, 2, "a"), false},
		"other owner":   {state(3, "a"), status(mirrored, 3, "b"), false},
		"shown free":    {state(3, "a"), status(mirrored, 3, ""), false},
		"shown held":    {state(3), status(mirrored, 3, "a"), false},
		"shared":        {state(3, "a", "b"), status(mirrored, 3, "a"), false},
		"no mirror":     {state(3, "a"), status(v1alpha1.ReasonStoreUnreachable, 3, "a"), false},
		"never written": {state(3, "a"), &v1alpha1.DistributedLockStatus{}, false},
	}
	for name, tt := range tests {
		if got := disagreement(tt.state, tt.status); (got == "") != tt.agrees {
			t.Errorf("%s: %q, want agreement: %t", name, got, tt.agrees)
		}
	}
}
