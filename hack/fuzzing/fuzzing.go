/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

// Package fuzzing is for packages that have fuzz targets and whose other tests need servers.
package fuzzing

import (
	"flag"
	"strings"
)

// Alone tells whether this process runs fuzz targets only: as one of the workers that go test -fuzz starts, with -run=^$ beside -fuzz, or
// with -run=FuzzSomething to try an input again. TestMain must start no servers then. No target needs one, and go test -fuzz runs TestMain
// in each of its workers too, so that every one of them, and every one that takes the place of one that an input has killed, would start
// servers of its own before it tries the first input. Otherwise the seeds of the targets are ordinary tests among those with servers.
func Alone() bool {
	flag.Parse()
	tests := value("test.run")
	return value("test.fuzzworker") == "true" || value("test.fuzz") != "" && tests == "^$" ||
		strings.HasPrefix(strings.TrimPrefix(tests, "^"), "Fuzz") && !strings.Contains(tests, "|")
}

func value(name string) string {
	if f := flag.Lookup(name); f != nil {
		return f.Value.String()
	}
	return ""
}
