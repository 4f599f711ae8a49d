/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package mongolock

import "time"

// State is a lock as the server had it at ReadAt. It is a picture, not a promise: by the time it is looked at, the lock may have
// changed. Only a [Lease] tells that a lock is held.
type State struct {
	// ID is the lock's id.
	ID string
	// Exists is false when no document is stored under ID: the lock was never acquired, or was purged after its grace period.
	Exists bool
	// Policy is what was set with [Client.SetPolicy].
	Policy Policy
	// Holders are the live holders, by the server's clock; at most one unless they share the lock.
	Holders []Holder
	// Waiters are those that stand in the queue and are not known to be dead, first come first; one for each process and lock at
	// most, as the calls of one process wait in a line of its own.
	Waiters []Waiter
	// Token is the last fencing token granted; 0 if none was.
	Token int64
	// Grants counts the grants since the document was created.
	Grants int64
	// Seq is the number of the lock's last event; 0 if there was none.
	Seq int64
	// Events are the last events, at most 16, oldest first.
	Events []Event
	// ChangedAt is the server's time of the last transition, or of the last change of the queue or the policy. Renewals do not change
	// it.
	ChangedAt time.Time
	// ReadAt is the server's time of this picture.
	ReadAt time.Time
}

// Held tells whether somebody held the lock at ReadAt.
func (s State) Held() bool { return len(s.Holders) > 0 }

// Holder is one grant of a lock.
type Holder struct {
	// Owner and Metadata are what the holder said of itself: see [WithOwner] and [WithMetadata].
	Owner    string
	Metadata map[string]string
	// Shared tells that the lock was acquired with [Shared].
	Shared bool
	// Token is the grant's fencing token.
	Token int64
	// Lease is the duration that was granted: what the holder asked for, or less if the policy limits it.
	Lease time.Duration
	// AcquiredAt and ExpiresAt are server times. ExpiresAt moves with each renewal.
	AcquiredAt, ExpiresAt time.Time
	// Revision counts the renewals of this grant, from 0.
	Revision int64
}

// Waiter is a call of [Client.Lock] that stands in a lock's queue.
type Waiter struct {
	// Owner and Metadata are what the waiter said of itself: see [WithOwner] and [WithMetadata].
	Owner    string
	Metadata map[string]string
	// Shared tells that it waits with [Shared].
	Shared bool
	// Since is the server's time of its arrival.
	Since time.Time
	// Lease is the duration that it asks for.
	Lease time.Duration
}

// EventType says what happened to a lock.
type EventType string

// The types of events.
const (
	// EventAcquired: a lease was granted.
	EventAcquired EventType = "acquired"
	// EventReleased: the holder gave the lock back.
	EventReleased EventType = "released"
	// EventExpired: the lease ended without being renewed or released.
	EventExpired EventType = "expired"
	// EventEvicted: the lease was taken away with [Client.Evict].
	EventEvicted EventType = "evicted"
)

// Event is one transition of a lock. Events are written together with the change they tell of, so none is lost or invented.
type Event struct {
	// Seq numbers the lock's events without gaps, from 1.
	Seq int64
	// Type says what happened.
	Type EventType
	// Owner and Token name the grant concerned.
	Owner string
	Token int64
	// At is the server's time of the transition; for EventExpired the end of the lease, which may be earlier than the moment it
	// was noticed.
	At time.Time
	// Reason is what [Client.Evict] was given; empty for all other events.
	Reason string
}
