//go:build linux

/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package worker

import (
	"os"
	"path/filepath"
	"strings"

	"go.uber.org/goleak"
)

// leftovers are the goroutines and the number of sockets that remain after everything was closed, but for the goroutines of before.
func leftovers(before goleak.Option) (goroutines string, sockets int) {
	// It waits up to half a second for what is about to end.
	if err := goleak.Find(before); err != nil {
		goroutines = err.Error()
	}
	descriptors, _ := filepath.Glob("/proc/self/fd/*") // the pattern is well-formed
	for _, descriptor := range descriptors {
		if target, err := os.Readlink(descriptor); err == nil && strings.HasPrefix(target, "socket:") {
			sockets++
		}
	}
	return goroutines, sockets
}
