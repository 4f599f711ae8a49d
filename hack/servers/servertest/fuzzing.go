/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package servertest

import (
	"flag"
	"strings"
)

// fuzzing tells whether this process runs fuzz targets only: as one of the workers that go test -fuzz starts, with -run=^$ beside -fuzz, or
// with -run=FuzzSomething to try an input again. Run starts no servers then. No target needs one, and go test -fuzz runs TestMain
// in each of its workers too, so that every one of them, and every one that takes the place of one that an input has killed, would start
// servers of its own before it tries the first input. Otherwise the seeds of the targets are ordinary tests among those with servers.
func fuzzing() bool {
	flag.Parse()
	tests := flagValue("test.run")
	return flagValue("test.fuzzworker") == "true" || flagValue("test.fuzz") != "" && tests == "^$" ||
		strings.HasPrefix(strings.TrimPrefix(tests, "^"), "Fuzz") && !strings.Contains(tests, "|")
}

func flagValue(name string) string {
	if f := flag.Lookup(name); f != nil {
		return f.Value.String()
	}
	return ""
}
