/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package resourcelocktest

import (
	"errors"
	"fmt"
)

// errNotRun is returned by a scenario for which the backend lacks something.
var errNotRun = errors.New("the backend cannot")

// breachError is that the lock did what it must not, or did not do what it must. Any other error of a scenario means that it could not be
// carried out, which says nothing about the lock: a scenario that is known to find a breach must not pass for that.
type breachError struct{ found error }

// Error implements error.
func (b *breachError) Error() string { return b.found.Error() }

// Unwrap returns the error by which the breach was found.
func (b *breachError) Unwrap() error { return b.found }

// breach tells of a breach.
func breach(format string, args ...any) error { return &breachError{fmt.Errorf(format, args...)} }

// broken makes an error a breach, if it is one: what failed is what the scenario asks for.
func broken(err error) error {
	if err == nil {
		return nil
	}
	return &breachError{err}
}

func isBreach(err error) bool {
	var b *breachError
	return errors.As(err, &b)
}
