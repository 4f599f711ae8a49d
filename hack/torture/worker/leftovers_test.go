//go:build linux

/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package worker

import (
	"strings"
	"testing"

	"go.uber.org/goleak"
)

// TestLeftovers: a goroutine that somebody started and did not stop is named.
func TestLeftovers(t *testing.T) {
	before := goleak.IgnoreCurrent()
	if found, _ := leftovers(before); found != "" {
		t.Errorf("found %s, and there is nothing", found)
	}
	stop := make(chan struct{})
	go forgotten(stop)
	defer close(stop)
	if found, _ := leftovers(before); !strings.Contains(found, "forgotten") {
		t.Errorf("found %q, want the goroutine that was forgotten", found)
	}
}

func forgotten(stop <-chan struct{}) { <-stop }
