/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package resourcelocktest

import (
	"testing"
	"time"

	rl "k8s.io/client-go/tools/leaderelection/resourcelock"
)

// Backend is one election: a record, which does not exist at first, and the ways to get at it.
type Backend struct {
	// New makes the lock of a new candidate, as in a process of its own, with a connection of its own and without a timeout that is not
	// the lock's. The lease is the candidate's, in whole seconds: Timings.LeaseDuration or longer. It is required.
	New func(t testing.TB, identity string, lease time.Duration) Candidate
	// Timings are those of all electors. They are required.
	Timings
	// Delete removes the record behind everybody's back; nil if that cannot be done.
	Delete func(t testing.TB)
	// Seize takes leadership by force: when it returns, by leads as after an election, and nobody has asked whoever led before. The record
	// lives on. It is nil if that cannot be done.
	Seize func(t testing.TB, by rl.Interface)
}

// Timings are an elector's. Scenarios take a few leases, so short ones are good; but they have to be long enough for the lock, and for
// a loaded machine. LeaseDuration is in whole seconds, as records have it.
type Timings struct {
	LeaseDuration, RenewDeadline, RetryPeriod time.Duration
}

// Candidate is one candidate's lock.
type Candidate struct {
	Lock rl.Interface
	// Connection breaks the candidate's connection to the record; nil if that cannot be done.
	Connection Connection
	// Lost, if the lock has such a thing, returns a channel that is closed when the term of leadership ends. Work stops then, or when the
	// elector says so, whichever is earlier.
	Lost func() <-chan struct{}
	// Token, if the lock has such a thing, returns the fencing token of the term, and whether the lock leads.
	Token func() (int64, bool)
}

// Connection is a candidate's connection to the record.
type Connection interface {
	// Blackhole makes all requests, also those under way, wait without an answer for as long as their context lets them.
	Blackhole()
	// Heal ends it. What waited may succeed or fail. It may be called when nothing is broken.
	Heal()
	// LoseReply lets the next request that writes the record be carried out, and its answer be lost. The channel is closed when that has
	// happened.
	LoseReply() <-chan struct{}
}
