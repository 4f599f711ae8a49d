/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package controllers

import (
	"context"
	"errors"
	"iter"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/utils/clock"

	"github.com/mongolock/operator/api/v1alpha1"
	"github.com/mongolock/operator/pkg/mongolock"
)

const (
	// lookPeriod is how often the mirror asks how the feed is doing.
	lookPeriod = 250 * time.Millisecond
	// outageSpread is the time over which the objects are written when an outage begins or ends.
	outageSpread = 3 * time.Second
)

// Store is what the operator needs of MongoDB.
type Store interface {
	// Watch follows all locks.
	Watch(ctx context.Context) (Feed, error)
	// Find reads these locks, those that exist, and the foreign documents in their places, as an error with the id.
	Find(ctx context.Context, ids []string) iter.Seq2[mongolock.State, error]
	// SetPolicy replaces the policy of a lock.
	SetPolicy(ctx context.Context, id string, p mongolock.Policy) error
	// Evict takes a lock away from the holder with this token.
	Evict(ctx context.Context, id string, token int64, reason string) error
}

// Feed is a [mongolock.Watcher].
type Feed interface {
	Changes() <-chan mongolock.Change
	Err() error
	Synced() bool
	Close()
}

// NewStore makes a Store of a client.
func NewStore(client *mongolock.Client) Store { return clientStore{client} }

type clientStore struct{ *mongolock.Client }

func (s clientStore) Watch(ctx context.Context) (Feed, error) {
	watcher, err := s.Client.Watch(ctx)
	if err != nil {
		return nil, err
	}
	return watcher, nil
}

func (s clientStore) Find(ctx context.Context, ids []string) iter.Seq2[mongolock.State, error] {
	return s.List(ctx, mongolock.WithIDs(ids...))
}

// View is what the mirror sees of one lock.
type View struct {
	State mongolock.State
	// Foreign: the document stored under the lock's id was not written by mongolock.
	Foreign bool
	// Unknown: the feed has shown no such lock, and that there is none has still to be confirmed.
	Unknown bool
	// PolicyPending: MongoDB has another policy than the object declares, although it was told. The reconciler sets it.
	PolicyPending bool
	Health        Health
}

// Mirror keeps a picture of the locks that objects want, fed by one watcher. It is the only part of the operator that reads MongoDB,
// so that a reconcile costs no database call and an outage is noticed in one place. Other locks of the collection, which can be very
// many, are passed over; for an object made later its lock is looked up once.
//
// Its lock is held for field access only; it never waits for the queue, and a slow API server does not slow it down.
type Mirror struct {
	store Store // nil: there is no connection to MongoDB
	// without tells the reason that objects show when store is nil.
	without func() string
	clock   clock.WithTicker
	log     logr.Logger
	wake    *waker

	mu     sync.RWMutex
	health Health
	locks  map[string]mongolock.State
	// absent are the wanted locks that were looked up and are not there.
	absent map[string]absence
	// asked are the locks to look up. checking are those that are looked up now, each with whether the feed has told of it meanwhile.
	asked    map[string]struct{}
	checking map[string]bool
	// recheck is when to look up locks again that were found by a look and that the feed has not told of since.
	recheck map[string]time.Time
	// asking wakes up the goroutine that does it.
	asking chan struct{}
}

func newMirror(store Store, clk clock.WithTicker, log logr.Logger, wake *waker) *Mirror {
	return &Mirror{
		store: store, clock: clk, log: log, wake: wake,
		without:  func() string { return v1alpha1.ReasonStoreNotConfigured },
		locks:    map[string]mongolock.State{},
		absent:   map[string]absence{},
		asked:    map[string]struct{}{},
		checking: map[string]bool{},
		recheck:  map[string]time.Time{},
		asking:   make(chan struct{}, 1),
	}
}

// NeedLeaderElection makes the mirror run in every replica: a new leader starts with a warm picture, and while MongoDB is gone, when
// nobody can lead, somebody must still notice.
func (m *Mirror) NeedLeaderElection() bool { return false }

// Start runs the mirror until ctx ends.
func (m *Mirror) Start(ctx context.Context) error {
	if m.store == nil {
		return m.doWithout(ctx)
	}
	var checking sync.WaitGroup
	defer checking.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	checking.Go(func() { m.checkAsked(ctx) })

	tracker := newHealthTracker(m.clock)
	ticker := m.clock.NewTicker(lookPeriod)
	defer ticker.Stop()
	for {
		m.clear()
		feed, err := m.store.Watch(ctx)
		if err == nil {
			err = m.follow(ctx, feed, tracker, ticker)
			feed.Close()
		}
		if ctx.Err() != nil {
			return nil
		}
		m.observe(ctx, tracker, err, false)
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C():
		}
	}
}

// doWithout says that there is no store until ctx ends, and why.
func (m *Mirror) doWithout(ctx context.Context) error {
	ticker := m.clock.NewTicker(lookPeriod)
	defer ticker.Stop()
	for h := (Health{Phase: Failed, Since: m.clock.Now(), Outage: 1}); ; {
		if reason := m.without(); reason != h.Reason {
			h.Reason = reason
			m.publish(ctx, h)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C():
		}
	}
}

// errFeedEnded is why a feed is opened again; only closing the client ends one.
var errFeedEnded = errors.New("feed ended")

// follow takes in a feed until it ends.
func (m *Mirror) follow(ctx context.Context, feed Feed, tracker *healthTracker, ticker clock.Ticker) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case change, ok := <-feed.Changes():
			if !ok {
				return errFeedEnded
			}
			m.apply(ctx, change)
		case <-ticker.C():
			m.recheckDue()
			m.observe(ctx, tracker, feed.Err(), feed.Synced())
		}
	}
}

// clear drops the picture, because a new feed begins with all locks that exist and says nothing of those that no longer do.
func (m *Mirror) clear() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for id := range m.checking {
		m.overtake(id)
	}
	clear(m.locks)
	clear(m.recheck)
}

// apply takes in one change. Renewals never get here: the feed tells of transitions only.
func (m *Mirror) apply(ctx context.Context, change mongolock.Change) {
	id := change.State.ID
	countTransitions(change)
	// An object that the cache shows only after this finds the lock unknown, and has it looked up.
	wanted := m.wake.wanted(ctx, id)
	m.mu.Lock()
	m.overtake(id)
	before, known := m.locks[id]
	delete(m.locks, id)
	delete(m.recheck, id)
	if change.State.Exists {
		delete(m.absent, id)
	}
	if change.State.Exists && wanted {
		m.locks[id] = change.State
	}
	m.mu.Unlock()
	switch {
	case !wanted:
	case known && change.State.Exists && len(change.Events) == 0 && before.Policy == change.State.Policy:
		m.wake.lockLater(ctx, id) // somebody came to wait, or went
	default:
		m.wake.lock(ctx, id)
	}
}

// observe takes in how the feed is doing.
func (m *Mirror) observe(ctx context.Context, tracker *healthTracker, err error, synced bool) {
	if !tracker.observe(err, synced) {
		return
	}
	if tracker.health.Failed() && err != nil {
		m.log.Error(err, "The feed of locks does not work", "reason", tracker.health.Reason)
	}
	m.publish(ctx, tracker.health)
}

// publish makes a change of health known, and has all objects looked at if that can concern them.
func (m *Mirror) publish(ctx context.Context, h Health) {
	m.mu.Lock()
	before := m.health
	m.health = h
	m.mu.Unlock()
	countHealth(h)
	switch {
	case h.Phase == Settling:
		// A hiccup, or the beginning of an outage. Objects that come up now are passed over, and looked at when it is over.
	case h.Failed(), before.Failed():
		m.log.Info("Store health changed", "failed", h.Failed(), "reason", h.Reason)
		m.wake.all(ctx, outageSpread, m.known())
	default:
		m.wake.all(ctx, 0, m.known())
	}
}

// View returns what is known of a lock. Its slices are shared and must not be changed.
func (m *Mirror) View(id string) View {
	m.mu.RLock()
	defer m.mu.RUnlock()
	state, ok := m.locks[id]
	if ok {
		return View{State: state, Health: m.health}
	}
	a, checked := m.absent[id]
	return View{State: mongolock.State{ID: id}, Foreign: a.foreign, Unknown: !checked, Health: m.health}
}

// known are the ids of the locks in the picture.
func (m *Mirror) known() []string {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return slices.Collect(maps.Keys(m.locks))
}

// Healthy tells whether the feed works.
func (m *Mirror) Healthy() bool {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.health.Phase == Healthy
}
