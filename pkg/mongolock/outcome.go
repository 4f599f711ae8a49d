/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package mongolock

import (
	"context"
	"errors"
	"fmt"

	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/x/mongo/driver/topology"
)

// storeError is a failed command, sorted by what may have become of it. Its text names the cause and the remedy and nothing that the
// driver said, which can hold addresses; the driver's error stays reachable through errors.As.
type storeError struct {
	operation string
	kind      error // a sentinel of this package, or nil when the server refused the command for another reason
	detail    string
	// applied tells whether the command may have been carried out.
	applied bool
	// retry tells whether the same command may succeed later.
	retry bool
	cause error
}

func (e *storeError) Error() string {
	if e.kind == nil {
		return fmt.Sprintf("mongolock: %s: %s", e.operation, e.detail)
	}
	return fmt.Sprintf("%s: %s: %s", e.kind, e.operation, e.detail)
}

func (e *storeError) Unwrap() []error {
	if e.kind == nil {
		return []error{e.cause}
	}
	return []error{e.kind, e.cause}
}

// Server error codes: "the command may have run" and "the credentials do not do".
var (
	interruptedCodes = []int{
		1,     // InternalError; also FerretDB's for what it cannot name
		24,    // LockTimeout
		50,    // MaxTimeMSExpired
		64,    // WriteConcernTimeout
		91,    // ShutdownInProgress
		189,   // PrimarySteppedDown
		262,   // ExceededTimeLimit
		10107, // NotWritablePrimary
		11600, // InterruptedAtShutdown
		11602, // InterruptedDueToReplStateChange
		13435, // NotPrimaryNoSecondaryOk
		13436, // NotPrimaryOrSecondary
	}
	unauthorizedCodes = []int{13, 18, 8000}
)

// classify sorts a driver error. Whatever is not known to have been refused counts as possibly applied: guessing otherwise is how
// locks get two holders.
func classify(operation string, err error) error {
	if err == nil {
		return nil
	}
	e := &storeError{operation: operation, cause: err}
	var server mongo.ServerError
	var selection topology.ServerSelectionError
	switch {
	case errors.Is(err, mongo.ErrClientDisconnected):
		e.kind, e.detail = ErrClosed, "the driver's client is disconnected"
	case errors.As(err, &server) && hasCode(server, unauthorizedCodes):
		e.kind, e.detail = ErrUnauthorized,
			"the server refused the credentials or a privilege; check user, password, authSource and the role (readWrite on the database)"
	case errors.As(err, &selection):
		e.kind, e.retry = ErrUnreachable, true
		e.detail = "no server was found in time; check that MongoDB runs and that the hosts of the connection string are right"
	case mongo.IsNetworkError(err), mongo.IsTimeout(err), errors.Is(err, context.Canceled), server == nil:
		e.kind, e.retry, e.applied = ErrUnreachable, true, true
		e.detail = "the server did not answer in time; check that MongoDB runs and can be reached"
	case hasWriteConcernError(err), hasCode(server, interruptedCodes):
		e.kind, e.retry, e.applied = ErrUnreachable, true, !server.HasErrorLabel("NoWritesPerformed")
		e.detail = fmt.Sprintf("the server was interrupted (codes %v)", server.ErrorCodes())
	default:
		e.detail = fmt.Sprintf("the server refused the command (codes %v)", server.ErrorCodes())
	}
	return e
}

func hasCode(err mongo.ServerError, codes []int) bool {
	for _, code := range codes {
		if err.HasErrorCode(code) {
			return true
		}
	}
	return false
}

func hasWriteConcernError(err error) bool {
	var write mongo.WriteException
	return errors.As(err, &write) && write.WriteConcernError != nil
}

// mayHaveApplied tells whether the failed command may have been carried out all the same.
func mayHaveApplied(err error) bool {
	var e *storeError
	return errors.As(err, &e) && e.applied
}

// isTransient tells whether the failed command may succeed when it is sent again.
func isTransient(err error) bool {
	var e *storeError
	return errors.As(err, &e) && e.retry
}
