/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package mongolock

import (
	"testing"
	"testing/synctest"
	"time"
)

// A writer that dies while it waits for readers is handed nothing that it could fail to confirm: it keeps others out until its place has
// ended, and one who stands behind it until it has asked again.
func TestDeadWriterAmongReaders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFakeStore()
		c := fakeClient(t, s)
		mustSetPolicy(t, c, "x", Policy{Capacity: 3})
		reading := mustLock(t, c, "x", Shared())
		if _, err := c.store.queue(t.Context(), newAcquisition("x", c.settings.lock)); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		checkRefused(t, "a reader behind a dead writer", c, "x", Shared())
		w := startWaiting(t, fakeClient(t, s), "x", Shared())
		reader := await(t, time.Minute, "the reader is granted the lock", w.result)
		if took := time.Since(start); took < waiterLease || took > waiterLease+refreshPeriod {
			t.Errorf("a dead writer cost %s, want %s to %s", took, waiterLease, waiterLease+refreshPeriod)
		}
		mustUnlock(t, reader)
		mustUnlock(t, reading)
	})
}
