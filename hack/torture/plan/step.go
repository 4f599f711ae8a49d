//go:build linux

/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

// Package plan makes the schedules of a run from its seed: what each session of each worker does, and which faults come when. Nothing
// that happens during the run changes them, so the same seed gives the same schedules.
package plan

import (
	"math/rand/v2"
	"time"

	"github.com/mongolock/operator/hack/torture/history"
)

// TwinPrefix begins the names of owners that are not unique: several clients use each at the same time.
const TwinPrefix = "twin"

// Lease is the longest lease of a step.
const Lease = 2 * time.Second

// Step is what a session does next.
type Step struct {
	Kind   history.Kind // Try, Wait, Get or Evict
	Lock   string
	Shared bool
	Barge  bool
	// Twin is the owner's name if it is one that others use too; empty: a name of its own.
	Twin string
	// Lease is that of an acquisition, Patience how long a Wait waits.
	Lease    time.Duration
	Patience time.Duration
	// Hold is how long the lock is held; in that time Writes writes go to the resource, each Think after the holder has looked at its
	// lease, and Renews renewals are made by hand.
	Hold   time.Duration
	Writes int
	Think  time.Duration
	Renews int
	// Abandon leaves the lease to expire, without a renewal.
	Abandon bool
	// Rest is the time before the next step.
	Rest time.Duration
}

// Locks are what a session works on.
type Locks struct {
	// Names are the locks, each as likely as any other.
	Names []string
	// Shared are those that are acquired shared, most of the time.
	Shared map[string]bool
	// Simple leaves out what only mongolock can do: shared, barging, abandoned leases, evictions, looks, twins.
	Simple bool
	// Long makes every hold long, with most of it between a look at the lease and a write: a pause shall fall into it.
	Long bool
}

// Session is one sequence of steps.
type Session struct {
	random *rand.Rand
	locks  Locks
}

// NewSession begins the steps of one session in one life of a worker.
func NewSession(seed uint64, worker, incarnation, session int, locks Locks) *Session {
	return &Session{random: random(seed, worker, incarnation, session), locks: locks}
}

// Next is the next step.
func (s *Session) Next() Step {
	r := s.random
	step := Step{
		Kind: history.Try, Lock: s.locks.Names[r.IntN(len(s.locks.Names))],
		Lease:    time.Second + upTo(r, Lease-time.Second).Truncate(time.Millisecond),
		Patience: 200*time.Millisecond + upTo(r, 3*time.Second),
		Hold:     2*time.Millisecond + upTo(r, 25*time.Millisecond),
		Writes:   1, Think: upTo(r, 5*time.Millisecond),
		Rest: upTo(r, 60*time.Millisecond),
	}
	if chance(r, 50) {
		step.Kind = history.Wait
	}
	if chance(r, 4) || s.locks.Long { // long enough to be renewed, and for a pause to fall into it
		step.Hold, step.Writes, step.Think = 300*time.Millisecond+upTo(r, 2*time.Second), 3, upTo(r, 600*time.Millisecond)
	}
	if s.locks.Long {
		step.Think += 500 * time.Millisecond
	}
	if chance(r, 8) {
		step.Renews = 1 + r.IntN(2)
	}
	if !s.locks.Simple {
		s.vary(&step)
	}
	return step
}

// vary adds what only mongolock can do.
func (s *Session) vary(step *Step) {
	r := s.random
	step.Shared = s.locks.Shared[step.Lock] && chance(r, 75)
	step.Barge = chance(r, 5)
	step.Abandon = chance(r, 1)
	if chance(r, 8) {
		step.Twin = TwinPrefix + string(rune('a'+r.IntN(2)))
	}
	switch {
	case chance(r, 15):
		step.Kind = history.Get
	case chance(r, 2):
		step.Kind = history.Evict
	}
}

func chance(r *rand.Rand, percent int) bool { return r.IntN(100) < percent }

// random is a source of its own for each part of a run.
func random(seed uint64, parts ...int) *rand.Rand {
	stream := uint64(0)
	for _, part := range parts {
		stream = stream*1_000_003 + uint64(part) + 1
	}
	return rand.New(rand.NewPCG(seed, stream))
}

// upTo is a time less than d.
func upTo(r *rand.Rand, d time.Duration) time.Duration { return time.Duration(r.Int64N(int64(d))) }
