//go:build linux

/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package main

import (
	"time"

	"golang.org/x/sys/unix"
)

// stamp is a moment of this machine's monotonic clock, which all its processes share: workers and the demo can be compared, and a
// step of the wall clock moves nothing.
type stamp time.Duration

func now() stamp {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		panic("CLOCK_MONOTONIC: " + err.Error()) // every Linux has it
	}
	return stamp(ts.Nano())
}

// since returns the time from an earlier stamp to this one.
func (s stamp) since(earlier stamp) time.Duration { return time.Duration(s - earlier) }
