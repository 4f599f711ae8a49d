/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package resourcelocktest_test

import (
	"context"
	"testing"
	"time"

	rl "k8s.io/client-go/tools/leaderelection/resourcelock"

	"github.com/mongolock/operator/hack/servers/servertest"
	"github.com/mongolock/operator/pkg/resourcelock/resourcelocktest"
)

func TestMain(m *testing.M) { servertest.Run(m, servertest.MongoDB, servertest.Kubernetes) }

// timings leave room between the end of the lease and the moments at which a slow machine comes to notice it.
var timings = resourcelocktest.Timings{LeaseDuration: 6 * time.Second, RenewDeadline: 4500 * time.Millisecond, RetryPeriod: 500 * time.Millisecond}

// quick is for a lock that asks nobody, so that only the machine's own slowness has to have room.
var quick = resourcelocktest.Timings{LeaseDuration: 4 * time.Second, RenewDeadline: 3 * time.Second, RetryPeriod: 500 * time.Millisecond}

const namespace = "default"

// TestMongolock: our lock passes everything, as it is by default.
func TestMongolock(t *testing.T) {
	report := resourcelocktest.Run(t, mongoBackend)
	t.Logf("mongolock\n%s", report)
	if left := len(report) - report.Count(resourcelocktest.Passed); left != 0 {
		t.Errorf("%d scenarios did not pass", left)
	}
}

// TestLeaseLock: client-go's own lock fails what is listed, and nothing else.
func TestLeaseLock(t *testing.T) {
	report := resourcelocktest.Run(t, leaseBackend,
		"C2",           // its raw record has whole seconds: of several renewals in a second a follower sees one
		"S1",           // it has no clock: what an elector takes for expired is taken over
		"S5",           // Get before the release takes the successor's resourceVersion, and the release empties the successor's record
		"S6",           // as S5
		"S7-deleted",   // the elector takes the record back, and its work never learns that somebody led meanwhile
		"S7-forced",    // as S7-deleted
		"S8-deleted",   // the elector tries on for the renew deadline
		"S8-forced",    // as S8-deleted
		"S8-blackhole", // the release waits for an answer before the work is stopped
		"S8-stuck",     // only the elector can stop the work
		"S9",           // as S8-blackhole
		"S11",          // each process finds its own name in the record
		"S17",          // the elector makes the record anew and leads on
		"V3",           // a new process counts a lease duration from its own first look
		"V5-unbounded", // it has no timeout of its own
	)
	t.Logf("LeaseLock\n%s", report)
	if n := report.Count(resourcelocktest.NotRun); n != 1 { // S4: there is no token
		t.Errorf("%d scenarios were not run, want the one about tokens", n)
	}
}

// seize ends whatever leadership there is until by leads: a candidate that takes it back at once is in the way.
func seize(t testing.TB, by rl.Interface, lease time.Duration, evict func(context.Context) error) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for {
		err := evict(ctx)
		if err == nil {
			_, _, err = by.Get(ctx)
		}
		if err == nil {
			err = by.Update(ctx, rl.LeaderElectionRecord{
				HolderIdentity: by.Identity(), LeaseDurationSeconds: int(lease / time.Second),
			})
		}
		if err == nil {
			by.RecordEvent("became leader")
			return
		}
		if ctx.Err() != nil {
			t.Errorf("seize: %v", err)
			return
		}
	}
}
