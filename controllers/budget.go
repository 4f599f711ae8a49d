/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package controllers

import (
	"math/rand/v2"
	"sync"
	"time"

	"golang.org/x/time/rate"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
)

// The limits of Kubernetes events, for one object and for the process. The client library keeps a goroutine for each event until the
// API server has taken it, so more than the server takes would pile up without end. The process stays below its limit of requests.
const (
	objectEventRate, objectEventBurst   = 1, 25 // events per second, events at once
	processEventRate, processEventBurst = 20, 100
	// calm is the room of an object whose lock is not busy any more.
	calm = 5
)

// eventBudget decides which Kubernetes events are emitted.
type eventBudget struct {
	clock clock.PassiveClock

	mu      sync.Mutex
	process *rate.Limiter
	objects map[types.UID]*objectBudget
	// owing is how many objects have transitions that were left out.
	owing int
}

type objectBudget struct {
	*rate.Limiter
	skipped int // transitions left out since the last event
}

func newEventBudget(c clock.PassiveClock) *eventBudget {
	return &eventBudget{clock: c, process: rate.NewLimiter(processEventRate, processEventBurst), objects: map[types.UID]*objectBudget{}}
}

// take asks for one event about an object. When it is granted, skipped is how many transitions were left out before, which the caller
// sums up in another event; that one is paid for. When it is not and the event is a transition, it is counted as left out.
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
	if o.TokensAt(now) < float64(cost) || !b.process.AllowN(now, cost) {
		eventsDropped.Inc()
		if transition {
			b.owe(o, o.skipped+1)
		}
		return 0, false
	}
	o.AllowN(now, cost)
	skipped = o.skipped
	b.owe(o, 0)
	return skipped, true
}

// settle asks for the event that sums up what was left out, which no later transition will do once the lock is calm. It returns how
// many transitions that are, or 0; and when to ask again, or 0. When many objects ask, each waits for about as long as the events of all
// take, so that they do not come in vain.
func (b *eventBudget) settle(object types.UID) (skipped int, again time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	o := b.objects[object]
	if o == nil || o.skipped == 0 {
		return 0, 0
	}
	now := b.clock.Now()
	if o.TokensAt(now) < calm || !b.process.AllowN(now, 1) {
		queue := time.Duration(b.owing) * time.Second / processEventRate
		return 0, settlePeriod + rand.N(queue+time.Second)
	}
	o.AllowN(now, 1)
	skipped = o.skipped
	b.owe(o, 0)
	return skipped, 0
}

// owe sets how many transitions of an object were left out. b.mu is held.
func (b *eventBudget) owe(o *objectBudget, skipped int) {
	if o.skipped > 0 {
		b.owing--
	}
	if skipped > 0 {
		b.owing++
	}
	o.skipped = skipped
}

// forget drops an object that was deleted.
func (b *eventBudget) forget(object types.UID) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if o := b.objects[object]; o != nil {
		b.owe(o, 0)
		delete(b.objects, object)
	}
}
