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
// driver said, which can hold addresses; the driver's error stays reachable through errors.As, and through errors.Is but for the ends
// of contexts: it is this package that bounds a command, so they say nothing of the caller's context. Where that has ended, it is joined.
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

func (e *storeError) Unwrap() error { return e.kind }

func (e *storeError) Is(target error) bool {
	return target != context.DeadlineExceeded && target != context.Canceled && errors.Is(e.cause, target)
}

func (e *storeError) As(target any) bool { return errors.As(e.cause, target) }

// Server error codes. A code that is in no list counts as possibly applied and not worth repeating.
var (
	unauthorizedCodes = []int{13, 18, 8000}

	// passingCodes say that the server, or the way to it, was interrupted: another try may succeed. An earlier send of the driver's may
	// have been applied.
	passingCodes = []int{
		1,     // InternalError; also FerretDB's for what it cannot name
		6,     // HostUnreachable
		7,     // HostNotFound
		24,    // LockTimeout
		50,    // MaxTimeMSExpired
		64,    // WriteConcernTimeout
		89,    // NetworkTimeout
		91,    // ShutdownInProgress
		112,   // WriteConflict
		133,   // FailedToSatisfyReadPreference
		134,   // ReadConcernMajorityNotAvailableYet
		189,   // PrimarySteppedDown
		202,   // NetworkInterfaceExceededTimeLimit
		217,   // IncompleteTransactionHistory: the first send of a retried write was applied
		262,   // ExceededTimeLimit
		462,   // overload
		9001,  // SocketException
		10107, // NotWritablePrimary
		11600, // InterruptedAtShutdown
		11601, // Interrupted
		11602, // InterruptedDueToReplStateChange
		13435, // NotPrimaryNoSecondaryOk
		13436, // NotPrimaryOrSecondary
	}

	// refusedCodes say that the server did not even begin.
	refusedCodes = []int{
		2,     // BadValue
		9,     // FailedToParse
		14,    // TypeMismatch
		26,    // NamespaceNotFound
		27,    // IndexNotFound
		40,    // ConflictingUpdateOperators
		59,    // CommandNotFound
		72,    // InvalidOptions
		73,    // InvalidNamespace
		85,    // IndexOptionsConflict
		86,    // IndexKeySpecsConflict
		115,   // CommandNotSupported
		121,   // DocumentValidationFailure
		166,   // CommandNotSupportedOnView
		168,   // InvalidPipelineOperator
		238,   // NotImplemented
		11000, // DuplicateKey
		17124, // $size of something that is no array
		40324, // unrecognised pipeline stage
	}
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
	case hasWriteConcernError(err), hasCode(server, passingCodes), hasRetryLabel(server):
		e.kind, e.retry, e.applied = ErrUnreachable, true, !server.HasErrorLabel("NoWritesPerformed")
		e.detail = fmt.Sprintf("the server was interrupted (codes %v)", server.ErrorCodes())
	default:
		e.applied = !hasCode(server, refusedCodes) && !server.HasErrorLabel("NoWritesPerformed")
		e.detail = fmt.Sprintf("the server refused the command (codes %v)", server.ErrorCodes())
	}
	return e
}

func hasRetryLabel(err mongo.ServerError) bool {
	return err.HasErrorLabel("RetryableWriteError") || err.HasErrorLabel("RetryableError") || err.HasErrorLabel("SystemOverloadedError")
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

// unknown makes an error that matches ErrOutcomeUnknown too.
func unknown(err error) error { return fmt.Errorf("%w: %w", ErrOutcomeUnknown, err) }

// isTransient tells whether the failed command may succeed when it is sent again.
func isTransient(err error) bool {
	var e *storeError
	return errors.As(err, &e) && e.retry
}
