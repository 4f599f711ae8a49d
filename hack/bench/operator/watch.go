//go:build linux

/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	kube "sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/mongolock/operator/api/v1alpha1"
	"github.com/mongolock/operator/hack/bench/gauge"
	"github.com/mongolock/operator/hack/task"
)

// look is how often a condition is looked at that is waited for.
const look = 50 * time.Millisecond

// kind is what a status says.
type kind int

const (
	blank       kind = iota // nothing yet
	held                    // the mirror works, and somebody holds the lock
	free                    // the mirror works, and nobody does
	unreachable             // the mirror says that MongoDB does not answer
	otherwise
)

func kindOf(s *v1alpha1.DistributedLockStatus) kind {
	c := meta.FindStatusCondition(s.Conditions, v1alpha1.ConditionReady)
	switch {
	case c == nil:
		return blank
	case c.Reason == v1alpha1.ReasonStoreUnreachable:
		return unreachable
	case c.Reason != v1alpha1.ReasonMirrored:
		return otherwise
	case s.State == v1alpha1.StateHeld:
		return held
	}
	return free
}

// observer watches all objects as any client of the API server can, and stamps what it is told.
type observer struct {
	api kube.WithWatch

	mu        sync.Mutex
	kinds     map[int]kind
	counts    map[kind]int
	last      map[int]int64 // position
	told      map[int]bool  // that were told of an outage
	recording bool
	seen      sightings
	failed    error
}

func newObserver(api kube.WithWatch) *observer {
	return &observer{api: api, kinds: map[int]kind{}, counts: map[kind]int{}, last: map[int]int64{}, told: map[int]bool{}, seen: sightings{}}
}

// run watches until ctx ends. It begins before there are objects, and goes on where a watch ends that the API server has closed.
func (o *observer) run(ctx context.Context) {
	version := "0"
	for ctx.Err() == nil {
		var err error
		if version, err = o.watch(ctx, version); err != nil && ctx.Err() == nil {
			o.mu.Lock()
			o.failed = err
			o.mu.Unlock()
			return
		}
	}
}

func (o *observer) watch(ctx context.Context, version string) (string, error) {
	w, err := o.api.Watch(ctx, &v1alpha1.DistributedLockList{}, kube.InNamespace(namespace), &kube.ListOptions{
		Raw: &metav1.ListOptions{ResourceVersion: version, AllowWatchBookmarks: true},
	})
	if err != nil {
		return version, fmt.Errorf("watch: %w", err)
	}
	defer w.Stop()
	for e := range w.ResultChan() {
		at := gauge.Now()
		lock, ok := e.Object.(*v1alpha1.DistributedLock)
		if e.Type == watch.Error || !ok {
			return version, fmt.Errorf("watch: %v", e.Object)
		}
		version = lock.ResourceVersion
		if e.Type != watch.Bookmark {
			o.take(lock, at)
		}
	}
	return version, nil
}

func (o *observer) take(lock *v1alpha1.DistributedLock, at int64) {
	i, ok := indexOf(lock.Name)
	if !ok {
		return
	}
	k := kindOf(&lock.Status)
	o.mu.Lock()
	defer o.mu.Unlock()
	if before, known := o.kinds[i]; known {
		o.counts[before]--
	}
	o.kinds[i] = k
	o.counts[k]++
	switch k {
	case unreachable:
		o.told[i] = true
	case held, free:
		o.last[i] = positionOf(lock.Status.FencingToken, k == held)
		if o.recording {
			o.seen[i] = append(o.seen[i], sighting{o.last[i], at})
		}
	}
}

// count counts the objects of a kind, and those that were told of an outage since forget.
func (o *observer) count(k kind) (now, told int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.counts[k], len(o.told)
}

func (o *observer) forget() {
	o.mu.Lock()
	defer o.mu.Unlock()
	clear(o.told)
}

// record begins to keep sightings anew; stop returns them.
func (o *observer) record() (stop func() sightings) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.recording, o.seen = true, sightings{}
	return func() sightings {
		o.mu.Lock()
		defer o.mu.Unlock()
		o.recording = false
		return o.seen
	}
}

// shows tells whether the present statuses tell of all these transitions.
func (o *observer) shows(all []transition) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, t := range all {
		if o.last[t.lock] < t.position {
			return false
		}
	}
	return true
}

// errSlow is why something was not there in time.
var errSlow = errors.New("too slow")

// await waits until something holds, and returns when that was.
func (o *observer) await(ctx context.Context, limit time.Duration, what string, holds func() bool) (at int64, err error) {
	for deadline := time.Now().Add(limit); !holds(); task.Wait(ctx, look) {
		o.mu.Lock()
		failed := o.failed
		o.mu.Unlock()
		switch {
		case failed != nil:
			return 0, failed
		case ctx.Err() != nil:
			return 0, context.Cause(ctx)
		case time.Now().After(deadline):
			return 0, fmt.Errorf("%w: not within %s: %s", errSlow, limit.Round(time.Second), what)
		}
	}
	return gauge.Now(), nil
}

// awaitAll waits until n objects are of a kind.
func (o *observer) awaitAll(ctx context.Context, limit time.Duration, what string, k kind, n int) (at int64, err error) {
	at, err = o.await(ctx, limit, what, func() bool { now, _ := o.count(k); return now == n })
	if err != nil {
		now, _ := o.count(k)
		err = fmt.Errorf("%w (%d of %d are)", err, now, n)
	}
	return at, err
}
