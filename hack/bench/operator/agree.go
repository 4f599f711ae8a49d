//go:build linux

/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	kube "sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/mongolock/operator/api/v1alpha1"
	"github.com/mongolock/operator/hack/task"
	"github.com/mongolock/operator/pkg/mongolock"
)

const (
	// agreeTime is how long all may take to agree once nothing happens any more.
	agreeTime = 10 * time.Second
	listPage  = 500
	// examples is how many disagreements are told.
	examples = 3
)

// agree compares all statuses with what MongoDB has, and fails if they do not agree.
func (b *bench) agree(ctx context.Context, n int) error {
	for deadline := time.Now().Add(agreeTime); ; task.Wait(ctx, time.Second) {
		wrong, err := b.disagreements(ctx, n)
		if err != nil || len(wrong) == 0 {
			return err
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%d of %d statuses do not agree with MongoDB: %s", len(wrong), n, strings.Join(wrong[:min(len(wrong), examples)], "; "))
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
}

func (b *bench) disagreements(ctx context.Context, n int) ([]string, error) {
	statuses := map[string]*v1alpha1.DistributedLockStatus{}
	list := &v1alpha1.DistributedLockList{}
	for {
		err := b.stack.api.List(ctx, list, kube.InNamespace(namespace), kube.Limit(listPage), kube.Continue(list.Continue))
		if err != nil {
			return nil, err
		}
		for i := range list.Items {
			statuses[list.Items[i].LockID()] = list.Items[i].Status.DeepCopy()
		}
		if list.Continue == "" {
			break
		}
	}
	if len(statuses) != n {
		return nil, fmt.Errorf("there are %d objects, want %d", len(statuses), n)
	}
	var wrong []string
	compared := 0
	for state, err := range b.stack.locks.List(ctx, mongolock.WithPrefix(namespace+"/")) {
		if err != nil {
			return nil, err
		}
		compared++
		if status := statuses[state.ID]; status == nil {
			wrong = append(wrong, state.ID+" has no object")
		} else if what := disagreement(state, status); what != "" {
			wrong = append(wrong, state.ID+": "+what)
		}
	}
	if compared != n {
		return nil, fmt.Errorf("MongoDB has %d locks, want %d", compared, n)
	}
	return wrong, nil
}

// disagreement tells in what a status differs from the lock; "" if in nothing.
func disagreement(state mongolock.State, status *v1alpha1.DistributedLockStatus) string {
	if k := kindOf(status); k != held && k != free {
		return "the mirror does not work"
	}
	owner := ""
	if state.Held() {
		owner = state.Holders[0].Owner
	}
	switch {
	case state.Held() != (status.State == v1alpha1.StateHeld) || int(status.HolderCount) != len(state.Holders):
		return fmt.Sprintf("%s with %d holders, MongoDB has %d", status.State, status.HolderCount, len(state.Holders))
	case owner != status.Holder:
		return fmt.Sprintf("held by %q, in MongoDB by %q", status.Holder, owner)
	case state.Token != status.FencingToken:
		return fmt.Sprintf("token %d, in MongoDB %d", status.FencingToken, state.Token)
	case state.Held() && status.Holders[0].Token != state.Holders[0].Token:
		return fmt.Sprintf("the holder's token is %d, in MongoDB %d", status.Holders[0].Token, state.Holders[0].Token)
	}
	return ""
}
