//go:build linux

/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package history

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// Stamp is a time in nanoseconds on the machine's monotonic clock, which all processes share and nobody can set. 0 means never.
type Stamp int64

// Now is the time of the machine's monotonic clock.
func Now() Stamp {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		panic(fmt.Sprintf("the monotonic clock cannot be read: %v", err)) // the kernel always has it
	}
	return Stamp(now.Nano())
}

// At turns a time of this process's monotonic clock, such as a lease's deadline, into a stamp. The stamp is never late and less than
// a millisecond early, so that a holder is never accused of a moment that its lease did not cover.
func At(t time.Time) Stamp {
	if t.IsZero() {
		return 0
	}
	for { // a process can be paused between the two looks at a clock
		before := Now()
		left := time.Until(t)
		if Now().Sub(before) < time.Millisecond {
			return before.Add(left)
		}
	}
}

// Add is the stamp d later.
func (s Stamp) Add(d time.Duration) Stamp { return s + Stamp(d) }

// Sub is the time from t to s.
func (s Stamp) Sub(t Stamp) time.Duration { return time.Duration(s - t) }
