/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package resourcelocktest

import (
	"bytes"
	"context"
	"fmt"
	"reflect"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	rl "k8s.io/client-go/tools/leaderelection/resourcelock"
)

// contract is what an elector relies on.
func contract() []scenario {
	return []scenario{
		{name: "C1", asks: "no record is NotFound, also when wrapped", run: absentIsNotFound},
		{name: "C2", asks: "the raw record changes with each renewal, also with many in a second, and at no other time", run: rawIsTheHeartbeat},
		{name: "C3", asks: "what Get returns is the caller's own", run: recordIsTheCallers},
		{name: "C4", asks: "Create of what exists is AlreadyExists, and changes nothing", run: createOnExisting},
		{name: "C5", asks: "Update before Get and Create is an error", run: updateBeforeGet},
		{name: "C6", asks: "RecordEvent before anything else does no harm", run: eventBeforeAll},
		{name: "C7", asks: "Identity and Describe need no server", run: namesNeedNoServer},
		{name: "C8", asks: "Create without a holder makes a record that is free, or none, and then somebody can lead", run: createWithoutHolder},
		{name: "C9", asks: "of many who create or take over, one wins", run: oneOfMany},
		{name: "S20", asks: "the record has the lease duration of its holder, not of who asks", run: leaseOfTheHolder},
	}
}

func absentIsNotFound(ctx context.Context, e *election) error {
	record, raw, err := e.lock("a").Get(ctx)
	if !apierrors.IsNotFound(err) || !apierrors.IsNotFound(fmt.Errorf("wrapped: %w", err)) {
		return breach("the error is %v", err)
	}
	if record != nil || raw != nil {
		return breach("the error came with record %+v, %q", record, raw)
	}
	return nil
}

func rawIsTheHeartbeat(ctx context.Context, e *election) error {
	const times = 100
	leader := e.lock("a")
	if err := e.lead(ctx, leader); err != nil {
		return err
	}
	seen := map[string]bool{}
	for range times {
		_, raw, err := leader.Get(ctx)
		if err != nil {
			return err
		}
		seen[string(raw)] = true
		if err := leader.Update(ctx, e.record("a")); err != nil {
			return broken(err)
		}
	}
	if len(seen) != times {
		return breach("%d renewals were seen as %d", times, len(seen))
	}
	_, first, err := e.lock("b").Get(ctx)
	if err != nil {
		return err
	}
	for range times {
		if _, raw, err := leader.Get(ctx); err != nil || !bytes.Equal(raw, first) {
			return breach("without a renewal %q became %q, %v", first, raw, err)
		}
	}
	return nil
}

func recordIsTheCallers(ctx context.Context, e *election) error {
	lock := e.lock("a")
	if err := e.lead(ctx, lock); err != nil {
		return err
	}
	first, raw, err := lock.Get(ctx)
	if err != nil {
		return err
	}
	want := *first
	first.HolderIdentity, first.LeaderTransitions = "overwritten", 99
	clear(raw)
	second, raw, err := lock.Get(ctx)
	if err != nil || !reflect.DeepEqual(*second, want) || raw[0] == 0 {
		return breach("the next record is %+v, %q, %v", second, raw, err)
	}
	return nil
}

func createOnExisting(ctx context.Context, e *election) error {
	a, b := e.lock("a"), e.lock("b")
	if err := e.lead(ctx, a); err != nil {
		return err
	}
	_, before, err := b.Get(ctx)
	if err != nil {
		return err
	}
	if err := b.Create(ctx, e.record("b")); !apierrors.IsAlreadyExists(err) {
		return breach("the error is %v", err)
	}
	_, after, err := e.lock("c").Get(ctx)
	if err != nil || !bytes.Equal(before, after) {
		return breach("the record became %q, %v", after, err)
	}
	return nil
}

func updateBeforeGet(ctx context.Context, e *election) error {
	if err := e.lock("a").Update(ctx, e.record("a")); err == nil {
		return breach("there was none")
	}
	return nil
}

func eventBeforeAll(_ context.Context, e *election) error {
	lock := e.lock("a")
	done := make(chan struct{})
	go func() {
		defer close(done)
		for _, what := range []string{"became leader", "stopped leading", "", "anything"} {
			lock.RecordEvent(what)
		}
	}()
	return broken(within(slow, done, "its return"))
}

func namesNeedNoServer(ctx context.Context, e *election) error {
	c, err := e.elect(ctx, "a") // whose elector uses the lock at the same time
	if err != nil {
		return err
	}
	if c.Connection == nil {
		return errNotRun
	}
	description := c.Lock.Describe()
	c.Connection.Blackhole()
	defer c.Connection.Heal()
	done := make(chan struct{})
	changed := false
	go func() {
		defer close(done)
		for range 10_000 {
			changed = changed || c.Lock.Identity() != "a" || c.Lock.Describe() != description
		}
	}()
	if err := within(preparation, done, "ten thousand calls"); err != nil {
		return broken(err)
	}
	if changed {
		return breach("they change")
	}
	return nil
}

func createWithoutHolder(ctx context.Context, e *election) error {
	if err := e.lock("a").Create(ctx, released()); err != nil {
		return broken(err)
	}
	b := e.lock("b")
	if who, err := holder(ctx, b); err != nil || who != "" {
		return breach("it is held by %q, %v", who, err)
	}
	if err := e.lead(ctx, b); err != nil {
		return breach("it cannot be led: %w", err)
	}
	if who, err := holder(ctx, e.lock("c")); err != nil || who != "b" {
		return breach("b leads, and the holder is %q, %v", who, err)
	}
	return nil
}

func oneOfMany(ctx context.Context, e *election) error {
	const many = 20
	locks := make([]rl.Interface, many)
	for i := range locks {
		locks[i] = e.lock(fmt.Sprintf("candidate-%d", i))
	}
	var winner rl.Interface
	for _, take := range []string{"create", "take over"} {
		errs := make([]error, many)
		for _, lock := range locks {
			if _, _, err := lock.Get(ctx); take == "take over" && err != nil {
				return err
			}
		}
		var all sync.WaitGroup
		for i, lock := range locks {
			all.Go(func() {
				if take == "create" {
					errs[i] = lock.Create(ctx, e.record(lock.Identity()))
				} else {
					errs[i] = lock.Update(ctx, e.record(lock.Identity()))
				}
			})
		}
		all.Wait()
		won := 0
		for i, err := range errs {
			if err == nil {
				won++
				winner = locks[i]
			}
		}
		if won != 1 {
			return breach("%d could %s", won, take)
		}
		if err := winner.Update(ctx, released()); err != nil {
			return breach("the winner cannot release: %w", err)
		}
	}
	return nil
}

func leaseOfTheHolder(ctx context.Context, e *election) error {
	const longer = 7 * time.Second
	short, long := e.lock("short"), e.candidateFor("long", e.LeaseDuration+longer).Lock
	record := e.record("long")
	record.LeaseDurationSeconds += int(longer / time.Second)
	if err := e.lead(ctx, short); err != nil {
		return err
	}
	if got, _, err := long.Get(ctx); err != nil || got.LeaseDurationSeconds != int(e.LeaseDuration/time.Second) {
		return breach("asked by who has a longer lease, it has %+v, %v", got, err)
	}
	if err := short.Update(ctx, released()); err != nil {
		return err
	}
	if _, _, err := long.Get(ctx); err != nil {
		return err
	}
	if err := long.Update(ctx, record); err != nil {
		return err
	}
	if got, _, err := short.Get(ctx); err != nil || got.LeaseDurationSeconds != record.LeaseDurationSeconds {
		return breach("asked by who has a shorter lease, it has %+v, %v", got, err)
	}
	return nil
}
