/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package mongolock

import (
	"errors"
	"fmt"
	"time"
)

// The errors of this package. Compare with [errors.Is]; an error that carries more (a [*HeldError], the context's own error) matches
// its sentinel as well. No error text contains a connection string or a credential.
var (
	// ErrHeld means that the lock cannot be had now: somebody else holds it, others wait for it, or it is suspended. The error is a
	// [*HeldError], which tells which, and who holds it for how long.
	ErrHeld = errors.New("mongolock: lock is held")

	// ErrLeaseLost means that a lease ended without being released: its deadline passed, or the server no longer knows it.
	// It is the cause of a context made by [Lease.Context]. A lost lease never becomes valid again.
	ErrLeaseLost = errors.New("mongolock: lease is lost")

	// ErrNotHeld means that there was nothing to release or renew: the lease was released or lost before.
	ErrNotHeld = errors.New("mongolock: lease is not held")

	// ErrOutcomeUnknown means that a request may or may not have been carried out and the server could not be asked in time.
	// What may have been acquired, or not been released, is released in the background if the server answers within a few seconds, and
	// otherwise ends by itself with its lease.
	ErrOutcomeUnknown = errors.New("mongolock: outcome is unknown")

	// ErrQueueFull means that [MaxWaiters] wait for the lock already.
	ErrQueueFull = errors.New("mongolock: queue is full")

	// ErrClosed means that the [Client] or [Watcher] was closed.
	ErrClosed = errors.New("mongolock: closed")

	// ErrInvalid means that an argument is out of range; the text names the limit. Nothing was sent.
	ErrInvalid = errors.New("mongolock: invalid argument")

	// ErrForeignDocument means that the document stored under the lock's id was not written by mongolock. It is left untouched:
	// move it away, or use another id or collection.
	ErrForeignDocument = errors.New("mongolock: foreign document")

	// ErrUnsupportedServer means that the server cannot run the engine; the text names what it does not do.
	ErrUnsupportedServer = errors.New("mongolock: unsupported server")

	// ErrUnreachable means that no server answered in time. Unless the error matches [ErrOutcomeUnknown] too, nothing was changed, but
	// that [Lease.Renew] may have extended its lease at the server.
	ErrUnreachable = errors.New("mongolock: server is unreachable")

	// ErrUnauthorized means that the server refused the credentials, or that they lack a privilege.
	ErrUnauthorized = errors.New("mongolock: access denied")
)

// HeldError tells why a lock could not be acquired: somebody holds it, others wait for it, or it is suspended. It matches [ErrHeld].
type HeldError struct {
	// Lock is the lock's id.
	Lock string
	// Owner and Metadata are what the holder said of itself; empty if nobody holds the lock.
	Owner    string
	Metadata map[string]string
	// Token is the holder's fencing token; 0 if nobody holds the lock.
	Token int64
	// Remaining is how long the holder's lease still lasts unless it is renewed, by the server's clock.
	Remaining time.Duration
	// Waiting is how many stand in the lock's queue.
	Waiting int
	// Suspended tells that the lock's policy stops new grants.
	Suspended bool
}

// Error names the holder, its token and the time left, or what else stands in the way.
func (e *HeldError) Error() string {
	switch {
	case e.Suspended:
		return fmt.Sprintf("mongolock: lock %q is suspended", e.Lock)
	case e.Owner == "" && e.Token == 0:
		return fmt.Sprintf("mongolock: lock %q is not free: %d wait for it", e.Lock, e.Waiting)
	}
	return fmt.Sprintf("mongolock: lock %q is held by %q with token %d for another %s unless renewed",
		e.Lock, e.Owner, e.Token, e.Remaining.Round(time.Millisecond))
}

// Is makes errors.Is(err, ErrHeld) true.
func (e *HeldError) Is(target error) bool { return target == ErrHeld }

// invalid reports a refused argument: what it was, and what is accepted.
func invalid(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrInvalid, fmt.Sprintf(format, args...))
}

// lost reports why a lease ended.
func lost(lock, why string) error {
	return fmt.Errorf("%w: lock %q: %s", ErrLeaseLost, lock, why)
}
