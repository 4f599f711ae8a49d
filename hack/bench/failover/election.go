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
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/mongolock/operator/hack/task"
)

// replicas is how many candidates an election has.
const replicas = 2

// election is one election of one contender: its candidates, and what they said in the present trial.
type election struct {
	lock   string
	number int // among those of its contender
	stores *stores
	random *rand.Rand
	links  [replicas]*link

	// The present cell and its lock, which no other cell uses.
	cell     int
	name     string
	timings  Timings
	members  [replicas]*member
	counters [replicas]*counter // nil, but while commands are counted
	births   int

	mu      sync.Mutex
	events  []event
	changed chan struct{} // closed and replaced with each event
}

func newElection(s *stores, p *plan, lock string, number int) (*election, error) {
	e := &election{
		lock: lock, number: number, stores: s, changed: make(chan struct{}),
		random: rand.New(rand.NewPCG(p.Seed, uint64(number)<<8+uint64(slices.Index(contenders, lock)))),
	}
	upstreams := [ways]string{toStore: s.mongoHost, toFeed: s.feedHost}
	if lock == lease {
		upstreams[toStore] = s.kubeHost
	}
	for i := range e.links {
		var err error
		if e.links[i], err = newLink(fmt.Sprintf("%s-%d-%d", lock, number, i), upstreams); err != nil {
			e.close()
			return nil, err
		}
	}
	return e, nil
}

// begin begins with a new lock, so that nothing that was before has to end, or to go on. The feed is new too: the store that stands in for a
// capped collection where there is none drops nothing, and slows down with what it has.
func (e *election) begin(t Timings) {
	for i, m := range e.members {
		m.kill()
		e.members[i] = nil
	}
	e.cell++
	e.name, e.timings = fmt.Sprintf("failover-%d-%d-%d", slices.Index(contenders, e.lock), e.number, e.cell), t
	e.take()
}

func (e *election) tell(ev event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.events = append(e.events, ev)
	close(e.changed)
	e.changed = make(chan struct{})
}

// all returns the events since the last trial.
func (e *election) all() []event {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.events
}

// take returns the events since the last trial, and forgets them.
func (e *election) take() []event {
	e.mu.Lock()
	defer e.mu.Unlock()
	events := e.events
	e.events = nil
	return events
}

func (e *election) spells() []spell { return spellsOf(e.all()) }

// wait waits for the first event since a time that matches, until ctx ends.
func (e *election) wait(ctx context.Context, since int64, match func(event) bool) (event, bool) {
	for seen := 0; ; {
		e.mu.Lock()
		events, changed := e.events[seen:], e.changed
		e.mu.Unlock()
		for _, ev := range events {
			if ev.at >= since && match(ev) {
				return ev, true
			}
		}
		seen += len(events)
		select {
		case <-changed:
		case <-ctx.Done():
			return event{}, false
		}
	}
}

// await waits for an event, for a limited time.
func (e *election) await(ctx context.Context, limit time.Duration, since int64, what string, match func(event) bool) (event, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	ev, ok := e.wait(ctx, since, match)
	if !ok {
		return event{}, fmt.Errorf("%s: not within %s: %s", e.name, limit, what)
	}
	return ev, nil
}

func working(ev event) bool { return ev.what == "tick" }

func said(m *member, what string) func(event) bool {
	return func(ev event) bool { return ev.by == m && ev.what == what }
}

// observe carries out a trial and adds how long two worked at a time, from the end of the last trial on, and of one that fails too.
func (e *election) observe(ctx context.Context, t trial) (sample, error) {
	s, err := t(ctx, e)
	if err == nil {
		// What was said before is heard by then.
		_, err = e.await(ctx, settleTime, now(), "a leader at work after the trial", working)
	}
	s.overlap = overlapOf(spellsOf(e.take()))
	return s, err
}

// start starts a candidate in a place that is empty, and returns when that was.
func (e *election) start(i int) (int64, error) {
	e.births++
	orders := Orders{
		Lock: e.lock, Identity: fmt.Sprintf("%s_%d_%d", e.name, i, e.births), Election: e.name, Timings: e.timings,
		Kubeconfig: e.stores.kubeconfig, Host: "https://" + e.links[i].address(toStore),
		Database: e.stores.database, Feed: e.name + "_feed",
	}
	var err error
	if orders.URI, err = e.links[i].through(toStore, e.stores.mongoURI); err != nil {
		return 0, err
	}
	if orders.FeedURI, err = e.links[i].through(toFeed, e.stores.feedURI); err != nil {
		return 0, err
	}
	if c := e.counters[i]; c != nil {
		c.redirect(&orders)
	}
	at := now()
	e.members[i], err = startMember(orders, e.tell)
	return at, err
}

// settle makes sure that one candidate leads and the other follows, and waits for a random time. It returns their places.
func (e *election) settle(ctx context.Context) (leader, follower int, err error) {
	began := now()
	for i, m := range e.members {
		if m == nil || !m.process.Alive() {
			if _, err := e.start(i); err != nil {
				return 0, 0, err
			}
			if _, err := e.await(ctx, settleTime, began, "a first look", said(e.members[i], "looked")); err != nil {
				return 0, 0, err
			}
		}
	}
	ev, err := e.await(ctx, 3*e.timings.Lease+settleTime, began, "a leader at work", working)
	if err != nil {
		return 0, 0, err
	}
	leader = slices.Index(e.members[:], ev.by)
	// Followers poll, and the phase of that is random: neither is to be in step with the trials.
	task.Wait(ctx, 3*e.timings.Retry+time.Duration(e.random.Int64N(int64(2*e.timings.Retry))))
	if ctx.Err() != nil {
		return 0, 0, context.Cause(ctx)
	}
	if leader < 0 {
		return 0, 0, errors.New("the leader is of another trial")
	}
	if _, err := e.await(ctx, settleTime, now(), "the leader still leads", said(e.members[leader], "tick")); err != nil {
		return 0, 0, err
	}
	return leader, (leader + 1) % replicas, nil
}

// close kills the candidates.
func (e *election) close() {
	for _, m := range e.members {
		m.kill()
	}
	for _, l := range e.links {
		if l != nil {
			l.close()
		}
	}
}
