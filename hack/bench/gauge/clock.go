//go:build linux

/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

// Package gauge is what the benchmarks measure with: the machine's clock and processors, and samples of times.
package gauge

import "golang.org/x/sys/unix"

// Now is the machine's monotonic clock, in nanoseconds. All its processes share it.
func Now() int64 {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &t); err != nil {
		panic(err) // the kernel always has it
	}
	return t.Nano()
}
