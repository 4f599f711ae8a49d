/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package mongolock

import (
	"time"

	"golang.org/x/sys/unix"
)

// bootTime is the time since an arbitrary origin, including the time that the machine was suspended. Go's monotonic clock stops
// while it is: a lease that ended during a suspension would seem alive afterwards.
func bootTime() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		panic("mongolock: CLOCK_BOOTTIME: " + err.Error()) // present since Linux 2.6.39; without it no deadline can be trusted
	}
	return time.Duration(ts.Nano())
}
