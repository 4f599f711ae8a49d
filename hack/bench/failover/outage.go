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
	"slices"
	"sync"
	"time"
)

func (o outage) name() string { return fmt.Sprintf("outage %.0fs", o.away.Seconds()) }

// recovery is how long an election has when its store is back, before it is judged.
func recovery(t Timings) time.Duration { return 2*t.Lease + settleTime/2 }

// aftermath is what became of an election after an outage, in which ended processes were started anew as Kubernetes does.
type aftermath struct {
	away     time.Duration // for how long the stores were
	leaders  int           // processes that worked in the lease duration after the recovery
	idle     time.Duration // the longest time in that in which none did
	restarts int           // from the beginning of the outage
}

// outage takes the stores away from all candidates at a time, and for equally long.
func (r *race) outage(ctx context.Context, o outage) {
	r.screen.Say("%-10s with a lease of %s: %d trials of each contender", o.name(), o.timings.Lease, r.plan.Elections)
	defer r.screen.During(ctx, "measuring")()
	r.begin(o.timings)
	began, begin := context.WithCancel(ctx)
	away, back := context.WithCancel(ctx)
	var settled, returned sync.WaitGroup
	settled.Add(len(r.elections))
	var lasted time.Duration
	var failed error
	returned.Go(func() {
		settled.Wait()
		begin()
		since := now()
		failed = r.takeAway(ctx, o.away)
		lasted = time.Duration(now() - since)
		back()
	})
	r.each(func(e *election) {
		s, err := e.observe(ctx, func(ctx context.Context, e *election) (sample, error) {
			_, _, err := e.settle(ctx)
			settled.Done()
			if err != nil {
				return sample{}, err
			}
			<-began.Done()
			a, err := e.endure(ctx, away)
			return sample{after: a}, err
		})
		<-away.Done()
		returned.Wait()
		if s.after != nil {
			s.after.away = lasted
		}
		r.add(ctx, e, o.name(), s, errors.Join(err, failed))
	})
}

// takeAway takes the stores away and brings them back. What can be is really stopped; what cannot be refuses connections instead, until the
// others are back.
func (r *race) takeAway(ctx context.Context, d time.Duration) error {
	way := func(e *election) int {
		if e.lock == lease {
			return toStore
		}
		return toFeed
	}
	for _, e := range r.elections {
		for _, l := range e.links {
			l.refuse(way(e))
		}
	}
	err := r.stores.mongoDB.RestartAfter(ctx, d)
	for _, e := range r.elections {
		for _, l := range e.links {
			err = errors.Join(err, l.accept(way(e)))
		}
	}
	return err
}

// endure goes through an outage and looks at its end for a whole lease duration who leads.
func (e *election) endure(ctx, away context.Context) (*aftermath, error) {
	a := &aftermath{}
	restarts, err := e.supervise(away)
	if err != nil {
		return a, err
	}
	a.restarts = restarts
	if err := e.superviseFor(ctx, recovery(e.timings), a); err != nil {
		return a, err
	}
	from := now()
	if err := e.superviseFor(ctx, e.timings.Lease, a); err != nil {
		return a, err
	}
	a.leaders, a.idle = worked(e.spells(), from, now())
	return a, context.Cause(ctx)
}

func (e *election) superviseFor(ctx context.Context, d time.Duration, a *aftermath) error {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	n, err := e.supervise(ctx)
	a.restarts += n
	return err
}

// supervise starts candidates anew that end, until ctx ends, and returns how many.
func (e *election) supervise(ctx context.Context) (restarts int, err error) {
	for {
		ev, ok := e.wait(ctx, 0, func(ev event) bool { return ev.what == "gone" && slices.Contains(e.members[:], ev.by) })
		if !ok {
			return restarts, nil
		}
		restarts++
		if _, err := e.start(slices.Index(e.members[:], ev.by)); err != nil {
			return restarts, err
		}
	}
}
