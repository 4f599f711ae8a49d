/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package resourcelock

import (
	"context"
	"testing"
)

func gated(t *testing.T, s *store, gate func(context.Context) bool) *Lock {
	t.Helper()
	lock, err := New(s.client(), Config{
		Namespace: testNamespace, Name: testName, Identity: "a", LeaseDuration: testLease, ReleaseGate: gate,
	})
	if err != nil {
		t.Fatal(err)
	}
	return lock
}

// The work has not ended when the elector gives leadership up: nobody else leads until the lease has ended, and the work knows when that is.
func TestS19ReleaseGateClosed(t *testing.T) {
	s := newStore(t)
	lock := gated(t, s, func(context.Context) bool { return false })
	c := run(t, lock, true)
	within(t, slow, c.elected, "election")
	follower := run(t, newLock(t, s.client(), "b"), true)
	token, _ := lock.Token()
	lost := lock.Lost()
	c.cancel()
	<-c.done
	if now, ok := lock.Token(); !ok || now != token || isClosed(lost) {
		t.Fatalf("leadership ended before its lease: token %d, %t", now, ok)
	}
	if _, _, err := lock.Get(t.Context()); err == nil {
		t.Error("the lock serves another elector while the work of the last one goes on")
	}
	end := lock.current().now().lease.Deadline()
	within(t, testLease+slow, lost, "end of the term")
	within(t, testLease+longestRetry+slow, follower.elected, "take-over")
	if !end.Before(follower.electedAt) {
		t.Errorf("two led for %s", end.Sub(follower.electedAt))
	}
	if err := lock.Healthz(nil); err != nil {
		t.Errorf("the end of a drained term is no loss: %v", err)
	}
	if _, _, err := lock.Get(t.Context()); err != nil {
		t.Errorf("after the term: %v", err)
	}
}

// A gate may wait for the work.
func TestReleaseGateWaits(t *testing.T) {
	s := newStore(t)
	drained := make(chan struct{})
	lock := gated(t, s, func(ctx context.Context) bool {
		select {
		case <-drained:
			return true
		case <-ctx.Done():
			return false
		}
	})
	c := run(t, lock, true)
	within(t, slow, c.elected, "election")
	c.cancel()
	within(t, slow, c.stopped, "the word to stop")
	if !s.state(lock.client).Held() {
		t.Fatal("released before the work had ended")
	}
	close(drained)
	within(t, slow, c.done, "the end of the elector")
	if s.state(lock.client).Held() {
		t.Error("not released although the work had ended")
	}
}
