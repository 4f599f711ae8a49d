//go:build linux

/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package main

import (
	"context"
	"maps"
	"sync"
	"time"

	"github.com/mongolock/operator/hack/task"
	"github.com/mongolock/operator/pkg/mongolock"
)

// lookPeriod is how often the observer looks at the locks: a lock keeps 16 events, so it misses none.
const lookPeriod = 100 * time.Millisecond

// observer looks at the locks in MongoDB and keeps all their events.
type observer struct {
	client *mongolock.Client

	mu      sync.Mutex
	states  map[string]mongolock.State
	history map[string][]mongolock.Event
	missed  int64
	looks   int
	failure error // of the last look, or nil
	changed chan struct{}
}

func newObserver(client *mongolock.Client) *observer {
	return &observer{
		client: client, states: map[string]mongolock.State{}, history: map[string][]mongolock.Event{}, changed: make(chan struct{}),
	}
}

// run looks until ctx ends.
func (o *observer) run(ctx context.Context) {
	for ctx.Err() == nil {
		states, err := o.look(ctx)
		o.mu.Lock()
		o.looks++
		o.failure = err
		for _, state := range states {
			o.take(state)
		}
		close(o.changed)
		o.changed = make(chan struct{})
		o.mu.Unlock()
		task.Wait(ctx, lookPeriod)
	}
}

func (o *observer) look(ctx context.Context) ([]mongolock.State, error) {
	var states []mongolock.State
	for state, err := range o.client.List(ctx, mongolock.WithPrefix(namespace+"/")) {
		if err != nil {
			return states, err
		}
		states = append(states, state)
	}
	return states, nil
}

// take adds what is new in a state.
func (o *observer) take(state mongolock.State) {
	last := o.states[state.ID].Seq
	for _, e := range state.Events {
		if e.Seq <= last {
			continue
		}
		o.missed += e.Seq - last - 1
		last = e.Seq
		o.history[state.ID] = append(o.history[state.ID], e)
	}
	o.states[state.ID] = state
}

// await waits until a lock's state matches.
func (o *observer) await(ctx context.Context, lock string, match func(mongolock.State) bool) (mongolock.State, error) {
	for {
		o.mu.Lock()
		state, changed, failure := o.states[lock], o.changed, o.failure
		o.mu.Unlock()
		if match(state) {
			return state, nil
		}
		select {
		case <-ctx.Done():
			if failure != nil {
				return state, failure
			}
			return state, context.Cause(ctx)
		case <-changed:
		}
	}
}

// picture is all that the observer has seen.
type picture struct {
	states  map[string]mongolock.State
	history map[string][]mongolock.Event
	missed  int64
	looks   int
}

func (o *observer) picture() picture {
	o.mu.Lock()
	defer o.mu.Unlock()
	return picture{states: maps.Clone(o.states), history: maps.Clone(o.history), missed: o.missed, looks: o.looks}
}
