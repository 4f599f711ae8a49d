//go:build linux

/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package plan

import (
	"math/rand/v2"
	"time"
)

// The kinds of fault.
const (
	Kill      = "kill"      // SIGKILL to a worker, which is started anew
	Pause     = "pause"     // SIGSTOP to a worker for longer than a lease, then SIGCONT
	Cut       = "cut"       // a worker's connection ends before a command is sent
	LostReply = "lostreply" // a worker's connection ends after a command was carried out, before its reply
	Late      = "late"      // a worker's command arrives late, perhaps after it was given up
	Delay     = "delay"     // replies to a worker are late
	Blackhole = "blackhole" // a worker's connections stay open and carry nothing
	Reset     = "reset"     // a worker's connections are reset
	Database  = "database"  // the database is killed with SIGKILL and started again
	Terminate = "terminate" // the SQL backends are terminated under running commands
	Clock     = "clock"     // the server's clock jumps by a minute, and back
	Feed      = "feed"      // the feed's store is killed and comes back empty
	Purge     = "purge"     // the document of a free lock is deleted, as a TTL index does
	Delete    = "delete"    // the document of a held lock is deleted
	Foreign   = "foreign"   // a lock's document is replaced by one that is none, and put back
	Malformed = "malformed" // a part of a lock's document is overwritten with rubbish, and put back
	Twin      = "twin"      // two clients use one owner's name: the workload does that, not the nemesis
)

// Kinds are all kinds of fault that the nemesis injects.
var Kinds = []string{
	Kill, Pause, Cut, LostReply, Late, Delay, Blackhole, Reset, Database, Terminate, Clock, Feed, Purge, Delete, Foreign, Malformed,
}

// ClockJump is by how much the server's clock jumps.
const ClockJump = time.Minute

// Fault is one fault to come.
type Fault struct {
	// At is when it begins, from the begin of the run.
	At   time.Duration
	Kind string
	// Worker is whom it hits, if it hits one; Lock is the lock whose document it hits, if it hits one.
	Worker int
	Lock   string
	// For is how long it lasts, or how long what it holds is held.
	For time.Duration
	// Times is how many commands it hits, at most. Variant chooses among the ways to do it.
	Times, Variant int
}

const (
	firstFault = 1500 * time.Millisecond
	// faultPeriod is the mean time between the begins of two faults. They may overlap; see alone.
	faultPeriod = 2 * time.Second
	// lastFault is how long before the end the last fault has ended.
	lastFault = 5 * time.Second
)

// Faults plans the faults of a run: in rounds, each of which has every kind once, in an order of its own. A run that is too short for a
// round has those kinds that fit.
func Faults(seed uint64, duration time.Duration, kinds []string, workers int, locks []string) []Fault {
	if len(kinds) == 0 {
		return nil
	}
	r := random(seed, -1)
	var faults []Fault
	at := firstFault
	for {
		for _, i := range r.Perm(len(kinds)) {
			fault := newFault(r, kinds[i])
			fault.At, fault.Worker, fault.Lock = at, r.IntN(workers), locks[r.IntN(len(locks))]
			if fault.At+fault.For+lastFault > duration {
				return faults
			}
			faults = append(faults, fault)
			at += faultPeriod/2 + upTo(r, faultPeriod)
			if alone(fault.Kind) {
				at += fault.For
			}
		}
	}
}

// OnDocument tells of faults that hit the document of one lock.
func OnDocument(kind string) bool {
	return kind == Purge || kind == Delete || kind == Foreign || kind == Malformed
}

// Outage tells of faults of the server, during which nothing can be expected of any worker.
func Outage(kind string) bool { return kind == Database || kind == Terminate || kind == Clock }

// alone tells of faults during which no other begins: of a server that is down little could be seen, and what a clock that went back
// does to the tokens of a document that is made meanwhile is known.
func alone(kind string) bool { return kind == Database || kind == Clock }

func newFault(r *rand.Rand, kind string) Fault {
	fault := Fault{Kind: kind, Times: 1, Variant: r.IntN(1 << 10)}
	between := func(least, most time.Duration) { fault.For = (least + upTo(r, most-least)).Truncate(time.Millisecond) }
	switch kind {
	case Kill:
		between(100*time.Millisecond, 1500*time.Millisecond) // until it is started anew
	case Pause:
		between(Lease+Lease/4, 2*Lease)
	case Cut, LostReply:
		fault.Times = 1 + r.IntN(4)
		between(2*time.Second, 3*time.Second) // to find so many commands
	case Late:
		fault.Times = 1 + r.IntN(3)
		between(300*time.Millisecond, 5*Lease/4)
	case Delay:
		fault.Times = 3 + r.IntN(6)
		between(50*time.Millisecond, time.Second)
	case Blackhole:
		between(500*time.Millisecond, 3*time.Second)
	case Database:
		between(0, 2*time.Second) // in which it is down; the start comes on top
	case Terminate:
		fault.Times = 1 + r.IntN(3)
	case Clock:
		between(3*time.Second, 5*time.Second)
	case Feed:
		between(500*time.Millisecond, 3*time.Second)
	case Purge, Delete:
		between(2*time.Second, 3*time.Second) // to find it free, or held
	case Foreign, Malformed:
		between(500*time.Millisecond, 2500*time.Millisecond)
	}
	return fault
}
