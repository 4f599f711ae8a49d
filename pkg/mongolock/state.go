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
	// Holders are the live holders, by the server's clock; at most one for an exclusive lock.
	Holders []Holder
	// Token is the last fencing token granted; 0 if none was.
	Token int64
	// Grants counts the grants since the document was created.
	Grants int64
	// Seq is the number of the lock's last event; 0 if there was none.
	Seq int64
	// Events are the last events, at most 16, oldest first.
	Events []Event
	// ChangedAt is the server's time of the last transition. Renewals do not change it.
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
	// Token is the grant's fencing token.
	Token int64
	// Lease is the duration that the holder asked for.
	Lease time.Duration
	// AcquiredAt and ExpiresAt are server times. ExpiresAt moves with each renewal.
	AcquiredAt, ExpiresAt time.Time
	// Revision counts the renewals of this grant, from 0.
	Revision int64
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
}
