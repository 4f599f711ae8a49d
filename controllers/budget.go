/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package controllers

import (
	"sync"

	"golang.org/x/time/rate"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
)

// The limits of Kubernetes events, for one object and for the process. The client library keeps a goroutine for each event until the
// API server has taken it, so more than the server takes would pile up without end. The process stays below its limit of requests.
const (
	objectEventRate, objectEventBurst   = 1, 25 // events per second, events at once
	processEventRate, processEventBurst = 50, 200
	// calm is the room of an object whose lock is not busy any more.
	calm = 5
)

// eventBudget decides which Kubernetes events are emitted. What a busy lock has too many of is summed up later, by an event of its own.
// What thousands of locks together have too many of is not: that would be as many events again.
type eventBudget struct {
	clock clock.PassiveClock

	mu      sync.Mutex
	process *rate.Limiter
	objects map[types.UID]*objectBudget
}

type objectBudget struct {
	*rate.Limiter
	skipped int // transitions left out since the last event
}

func newEventBudget(c clock.PassiveClock) *eventBudget {
	return &eventBudget{clock: c, process: rate.NewLimiter(processEventRate, processEventBurst), objects: map[types.UID]*objectBudget{}}
}

// take asks for one event about an object. When it is granted, skipped is how many transitions were left out before, which the caller
// sums up in another event; that one is paid for. When it is not and the event is a transition of a busy lock, it is counted as left out.
func (b *eventBudget) take(object types.UID, transition bool) (skipped int, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	o := b.objects[object]
	if o == nil {
		o = &objectBudget{Limiter: rate.NewLimiter(objectEventRate, objectEventBurst)}
		b.objects[object] = o
	}
	cost := 1
	if o.skipped > 0 {
		cost = 2
	}
	now := b.clock.Now()
	busy := o.TokensAt(now) < float64(cost)
	if busy || !b.process.AllowN(now, cost) {
		eventsDropped.Inc()
		if transition && (busy || o.skipped > 0) {
			o.skipped++
		}
		return 0, false
	}
	o.AllowN(now, cost)
	skipped, o.skipped = o.skipped, 0
	return skipped, true
}

// settle asks for the event that sums up what was left out, which no later transition will do once the lock is calm. It returns how
// many transitions that are, or 0; and whether to ask again.
func (b *eventBudget) settle(object types.UID) (skipped int, again bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	o := b.objects[object]
	if o == nil || o.skipped == 0 {
		return 0, false
	}
	now := b.clock.Now()
	if o.TokensAt(now) < calm || !b.process.AllowN(now, 1) {
		return 0, true
	}
	o.AllowN(now, 1)
	skipped, o.skipped = o.skipped, 0
	return skipped, false
}

// forget drops an object that was deleted.
func (b *eventBudget) forget(object types.UID) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.objects, object)
}
