//go:build !linux

/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package mongolock

import "time"

var processStart = time.Now()

// bootTime is the time since an arbitrary origin. Whether it counts the time that the machine was suspended depends on the system.
func bootTime() time.Duration { return time.Since(processStart) }
