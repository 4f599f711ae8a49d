//go:build linux

/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

// Package history is what a run of the torture rig leaves behind: each call of each worker with its return, each moment at which a
// worker believed in a lease, each event that a watcher was told of, each fault, each write that the resource accepted, and what the
// database had stored meanwhile. All of it is stamped on one monotonic clock. The checks read nothing else.
package history

import "time"

// Kind is what an operation is.
type Kind string

// The operations.
const (
	Try    Kind = "try"    // TryLock
	Wait   Kind = "wait"   // Lock
	Lead   Kind = "lead"   // a candidate that became leader; Call is when it began to stand
	Unlock Kind = "unlock" // Token is the grant's
	Renew  Kind = "renew"  // Lease.Renew; Token is the grant's
	Evict  Kind = "evict"  // Token is the evicted grant's
	Get    Kind = "get"    // Tokens are those of the holders that it showed
	Write  Kind = "write"  // a write to the resource with Token
)

// Outcome is how an operation ended.
type Outcome string

// The outcomes.
const (
	OK      Outcome = "ok"
	Refused Outcome = "refused" // held by somebody else, waited for in vain, or by the resource as stale
	NotHeld Outcome = "notheld" // there was nothing to release, renew or evict
	Failed  Outcome = "failed"  // certainly without effect
	Unknown Outcome = "unknown" // may have had its effect, or may have it yet; also of a call that never returned
)

// Operation is one call of the public API.
type Operation struct {
	// ID is unique: worker, incarnation, session and number.
	ID          string `json:"id"`
	Worker      int    `json:"w"`
	Incarnation int    `json:"i"`
	Kind        Kind   `json:"kind"`
	Lock        string `json:"lock"`
	// Owner is unique to the operation that acquires, unless it is one of those that share a name on purpose.
	Owner string `json:"owner,omitempty"`
	// Grant is the ID of the operation that acquired what this one renews, releases or writes under.
	Grant string `json:"grant,omitempty"`
	// Shared and Barge are mongolock.Shared and mongolock.WithoutQueue.
	Shared bool `json:"shared,omitempty"`
	Barge  bool `json:"barge,omitempty"`
	// Lease and Margin are those of an acquisition.
	Lease  time.Duration `json:"lease,omitempty"`
	Margin time.Duration `json:"margin,omitempty"`

	// Call is when it was called, Return when it returned; 0 if it never did, because the worker was killed.
	Call    Stamp   `json:"call"`
	Return  Stamp   `json:"return,omitempty"`
	Outcome Outcome `json:"outcome,omitempty"`
	// Token is the token of the grant. Of a refused Try or Wait it is that of the holder who stood in the way, 0 if none was named.
	Token int64 `json:"token,omitempty"`
	// Tokens are the holders that a Get showed.
	Tokens []int64 `json:"tokens,omitempty"`
	// Deadline is that of the lease, after an acquisition or a renewal.
	Deadline Stamp  `json:"deadline,omitempty"`
	Error    string `json:"error,omitempty"`
}

// Belief is what a holder was told when it asked its lease whether it still held the lock.
type Belief struct {
	// Grant is the ID of the operation that acquired.
	Grant string `json:"grant"`
	// At is the time before the lease was asked, Held what it said, Deadline its deadline, read after that.
	At       Stamp `json:"at"`
	Held     bool  `json:"held"`
	Deadline Stamp `json:"deadline"`
}

// Told is the moment at which a holder was told by Lease.Done that its lease was over.
type Told struct {
	// Grant is the ID of the operation that acquired.
	Grant string `json:"grant"`
	At    Stamp  `json:"at"`
	// Deadline is the last one of the lease.
	Deadline Stamp `json:"deadline"`
}

// Watch is the begin of a watch.
type Watch struct {
	// Watcher is unique: worker, incarnation and number.
	Watcher string `json:"watcher"`
	// Locks are those that it is told of.
	Locks []string `json:"locks"`
}

// Change is what a watcher delivered for one lock.
type Change struct {
	Watcher string  `json:"watcher"`
	Lock    string  `json:"lock"`
	At      Stamp   `json:"at"`
	Exists  bool    `json:"exists"`
	Seq     int64   `json:"seq"`
	Events  []Event `json:"events,omitempty"`
	Missed  int64   `json:"missed,omitempty"`
}

// Event is an event of a lock as it is stored.
type Event struct {
	Seq   int64  `json:"seq" bson:"seq"`
	Type  string `json:"type" bson:"type"` // as mongolock.EventType: acquired, released, expired, evicted
	Owner string `json:"owner" bson:"owner"`
	Token int64  `json:"token" bson:"token"`
}

// Fault is something that the nemesis did.
type Fault struct {
	Kind string `json:"kind"`
	// Worker is the one it was done to, -1 if it concerned all. Lock is the lock whose document it was done to, if any.
	Worker int    `json:"worker"`
	Lock   string `json:"lock,omitempty"`
	// From is the time before it began, Until that after its end. Until is 0 if it had not ended when the run did.
	From  Stamp `json:"from"`
	Until Stamp `json:"until"`
	// Hits is how often it really hit: commands dropped, processes killed, documents changed. A fault without a hit did not fire.
	Hits int `json:"hits"`
	// Detail tells people more.
	Detail string `json:"detail,omitempty"`
}

// Process is one life of a worker.
type Process struct {
	Worker      int   `json:"worker"`
	Incarnation int   `json:"incarnation"`
	Started     Stamp `json:"started"`
	// Killed is the time before it was killed with SIGKILL, 0 if it was not.
	Killed Stamp `json:"killed,omitempty"`
}

// Accepted is a write that the resource accepted, in the order in which it did.
type Accepted struct {
	Lock  string `json:"lock"`
	Token int64  `json:"token"`
	At    Stamp  `json:"at"`
	// Operation is the ID of the Write.
	Operation string `json:"op"`
}

// Look is a lock's document as the auditor read it, with no fault between it and the database. Looks are recorded when they differ from
// the one before.
type Look struct {
	Lock string `json:"lock"`
	// From is the time before the read, To that after it. Before is the From of the look before this one, recorded or not: what is new
	// here happened after it.
	Before Stamp `json:"before"`
	From   Stamp `json:"from"`
	To     Stamp `json:"to"`
	// Exists is false when there was no document, or one that is not a lock; then the rest is empty.
	Exists bool `json:"exists"`
	// Now is the server's time of the read, in milliseconds since 1970, as are all other server times here.
	Now     int64    `json:"now"`
	Seq     int64    `json:"seq"`
	Fence   int64    `json:"fence"`
	Holders []Holder `json:"holders,omitempty"`
	Waiters []Waiter `json:"waiters,omitempty"`
	// Events are those that the look before did not have.
	Events []Event `json:"events,omitempty"`
	// Gap is how many events before Events are not known, because more happened between two looks than a document keeps.
	Gap int64 `json:"gap,omitempty"`
	// Anew tells that the document is not the one of the look before: that was deleted in between.
	Anew bool `json:"anew,omitempty"`
}

// Holder is a stored holder.
type Holder struct {
	ID         string `json:"id"`
	Owner      string `json:"owner"`
	Shared     bool   `json:"shared,omitempty"`
	Token      int64  `json:"token"`
	AcquiredAt int64  `json:"acquiredAt"`
	ExpiresAt  int64  `json:"expiresAt"`
	Pending    bool   `json:"pending,omitempty"`
}

// Waiter is a stored waiter.
type Waiter struct {
	ID        string `json:"id"`
	Owner     string `json:"owner"`
	Shared    bool   `json:"shared,omitempty"`
	Since     int64  `json:"since"`
	ExpiresAt int64  `json:"expiresAt"`
}

// Exit is what a worker found left of its clients after they were closed.
type Exit struct {
	Worker      int    `json:"worker"`
	Incarnation int    `json:"incarnation"`
	At          Stamp  `json:"at"`
	Goroutines  string `json:"goroutines,omitempty"` // their stacks
	Sockets     int    `json:"sockets,omitempty"`
	Error       string `json:"error,omitempty"` // of closing
}

// Leftover is something in the database that should not be there after all clients were closed.
type Leftover struct {
	What string `json:"what"`
}

// History is a whole run.
type History struct {
	// Begin and End are those of the load: no operation is called outside of them but to clean up.
	Begin, End Stamp
	Operations []Operation // in order of Call
	Beliefs    []Belief    // those of one grant in order of At
	Told       []Told
	Watches    []Watch
	Changes    []Change // those of one watcher in order
	Faults     []Fault  // in order of From
	Processes  []Process
	Accepted   []Accepted // in the order of the resource
	Looks      []Look     // those of one lock in order
	Exits      []Exit
	Leftovers  []Leftover
}
