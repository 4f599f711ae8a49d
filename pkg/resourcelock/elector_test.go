/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package resourcelock

import (
	"slices"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	rl "k8s.io/client-go/tools/leaderelection/resourcelock"

	"github.com/mongolock/operator/hack/faultproxy"
	"github.com/mongolock/operator/hack/servers/servertest"
	"github.com/mongolock/operator/pkg/mongolock"
)

// The end of a term is known only by these words. They are read from the linked client-go by running it.
func TestElectorSaysWhatTheLockListensFor(t *testing.T) {
	s := newStore(t)
	c := run(t, newLock(t, s.client(), "a"), true)
	within(t, slow, c.elected, "election")
	c.cancel()
	<-c.done
	if want := []string{becameLeader, stoppedLeading}; !slices.Equal(c.events, want) {
		t.Fatalf("client-go says %q, the lock listens for %q", c.events, want)
	}
}

func TestE1SameCallsAsLeaseLock(t *testing.T) {
	s := newStore(t)
	config, err := clientcmd.BuildConfigFromFlags("", servertest.Kubeconfig())
	if err != nil {
		t.Fatal(err)
	}
	connections, err := rest.HTTPClientFor(config)
	if err != nil {
		t.Fatal(err)
	}
	defer utilnet.CloseIdleConnectionsFor(connections.Transport)
	kube, err := kubernetes.NewForConfigAndClient(config, connections)
	if err != nil {
		t.Fatal(err)
	}
	lease := &rl.LeaseLock{
		LeaseMeta: metav1.ObjectMeta{Namespace: testNamespace, Name: "e1"},
		Client:    kube.CoordinationV1(), LockConfig: rl.ResourceLockConfig{Identity: "a"},
	}
	defer func() {
		if err := kube.CoordinationV1().Leases(testNamespace).Delete(t.Context(), "e1", metav1.DeleteOptions{}); err != nil {
			t.Error(err)
		}
	}()
	calls := func(lock rl.Interface) []string {
		c := run(t, lock, true)
		within(t, 2*slow, c.elected, "election")
		eventually(t, 5*testRetryPeriod+slow, "three renewals", func() bool { return len(c.operations()) >= 5 })
		c.cancel()
		<-c.done
		ops := c.operations()
		return append(ops[:5:5], ops[len(ops)-2:]...)
	}
	ours, theirs := calls(newLock(t, s.client(), "a")), calls(lease)
	if want := []string{"get", "create", "update", "update", "update", "get", "update"}; !slices.Equal(ours, theirs) || !slices.Equal(ours, want) {
		t.Fatalf("an elector calls our lock with %q, LeaseLock with %q", ours, theirs)
	}
}

func TestExactlyOneLeadsAndReleaseHandsOver(t *testing.T) {
	s := newStore(t)
	client := s.client()
	leader := run(t, newLock(t, client, "a"), true)
	within(t, slow, leader.elected, "first election")
	last, _ := leader.lock.(*Lock).Token()
	for _, name := range []string{"b", "c", "d"} {
		follower := run(t, newLock(t, client, name), true)
		eventually(t, slow, "the follower's first look", func() bool { return len(follower.operations()) > 0 })
		time.Sleep(testRetryPeriod) // nothing announces that nothing happens
		if isClosed(follower.elected) || isClosed(leader.stopped) {
			t.Fatal("a second candidate leads, or the first stopped")
		}
		leader.cancel()
		within(t, slow, leader.done, "end of the leader")
		within(t, longestRetry+slow/2, follower.elected, "hand-over at the next retry")
		if !isClosed(leader.stopped) {
			t.Fatal("two lead")
		}
		token, ok := follower.lock.(*Lock).Token()
		if !ok || token <= last {
			t.Fatalf("token %d, %t after %d", token, ok, last)
		}
		leader, last = follower, token
	}
}

// A process that starts after its predecessor died does not wait for a lease duration of its own counting.
func TestV3ColdStartAgainstAnExpiredRecord(t *testing.T) {
	s := newStore(t)
	observer := s.client()
	old := s.connect(servertest.MongoDBURI(), mongolock.WithoutRelease())
	lead(t, newLock(t, old, "dead"))
	if err := old.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.waitExpired(observer)
	lock := newLock(t, observer, "new")
	c := run(t, lock, true)
	within(t, testLease/2, c.elected, "election")
	if ops := c.operations(); !slices.Equal(ops[:2], []string{"get", "update"}) {
		t.Fatalf("it took %q", ops)
	}
}

func TestCrashedLeaderIsReplacedAfterItsLease(t *testing.T) {
	s := newStore(t)
	old := s.connect(servertest.MongoDBURI(), mongolock.WithoutRelease())
	lead(t, newLock(t, old, "dead"))
	c := run(t, newLock(t, s.client(), "b"), true)
	if err := old.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	took := within(t, testLease+longestRetry+slow, c.elected, "take-over")
	if took < testLease/2 {
		t.Fatalf("took over a living lease after %s", took)
	}
}

// The leader is frozen with a renewal under way, deposed, and cancelled as soon as it thaws.
func TestS5DeposedLeaderLeavesItsSuccessorAlone(t *testing.T) {
	s := newStore(t)
	client, proxy := s.proxied()
	frozen := run(t, newLock(t, client, "a"), true)
	within(t, slow, frozen.elected, "election")
	renewal := proxy.Inject(faultproxy.Fault{Kind: faultproxy.HoldRequest, Command: "update"})
	within(t, testRetryPeriod+slow, renewal.Fired(), "a renewal")
	proxy.Blackhole()
	successor := run(t, newLock(t, s.client(), "b"), true)
	within(t, testLease+longestRetry+slow, successor.elected, "take-over")
	token, _ := successor.lock.(*Lock).Token()

	proxy.Heal()
	renewal.Release()
	frozen.cancel()
	within(t, testRenewDeadline+slow, frozen.done, "end of the deposed leader")
	within(t, slow, renewal.Done(), "the late renewal")
	held := s.state(successor.lock.(*Lock).client).Holders
	if len(held) != 1 || held[0].Token != token || isClosed(successor.stopped) {
		t.Fatalf("the successor was disturbed: %+v", held)
	}
}

// Somebody else led and released between two renewals. The elector would take the lock back and go on as if nothing had happened.
func TestS7NoSilentReacquisition(t *testing.T) {
	s := newStore(t)
	client := s.client()
	lock := newLock(t, client, "a")
	c := run(t, lock, true)
	within(t, slow, c.elected, "election")
	lost := lock.Lost()

	s.delete()
	between := newLock(t, client, "between")
	token := lead(t, between)
	if err := between.Update(t.Context(), releaseRecord()); err != nil {
		t.Fatal(err)
	}
	within(t, testRetryPeriod+slow/2, lost, "S8: Lost, one renewal after the take-over")
	if isClosed(c.stopped) {
		t.Fatal("the elector noticed by itself: this test shows nothing")
	}
	within(t, testRetryPeriod+testRenewDeadline+slow, c.done, "end of the run")
	if state := s.state(client); state.Held() || state.Token != token {
		t.Fatalf("it was acquired again: %+v", state)
	}
	if c.terms != 1 {
		t.Fatalf("work was started %d times", c.terms)
	}
}

// The database is a black hole and the elector releases on cancel: LeaseLock's work would outlive its lease.
func TestS9WorkStopsBeforeTheLeaseEnds(t *testing.T) {
	s := newStore(t)
	client, proxy := s.proxied()
	c := run(t, newLock(t, client, "a"), true)
	within(t, slow, c.elected, "election")
	follower := run(t, newLock(t, s.client(), "b"), true)
	proxy.Blackhole()
	defer proxy.Heal()
	within(t, testLease+longestRetry+slow, c.stopped, "end of the work")
	within(t, testLease+longestRetry+slow, follower.elected, "take-over")
	if !c.stoppedAt.Before(follower.electedAt) {
		t.Errorf("two led for %s", c.stoppedAt.Sub(follower.electedAt))
	}
}

func TestS11ElectorsOfOneIdentityNeverBothLead(t *testing.T) {
	s := newStore(t)
	client := s.client()
	first := run(t, newLock(t, client, "twin"), true)
	within(t, slow, first.elected, "election")
	twin := newLock(t, client, "twin")
	twin.polls.Store(false) // it shall try
	second := run(t, twin, true)
	eventually(t, 3*longestRetry+slow, "some tries of the twin", func() bool { return len(second.operations()) >= 6 })
	if isClosed(second.elected) || isClosed(first.stopped) {
		t.Fatal("both lead, or the first was disturbed")
	}
	first.cancel()
	<-first.done
	within(t, longestRetry+slow, second.elected, "election of the twin")
}

// One lock serves one elector run after the other, whichever way the last one ended.
func TestLockServesSeveralRuns(t *testing.T) {
	s := newStore(t)
	client := s.client()
	lock := newLock(t, client, "a")
	next := func(limit time.Duration) (*candidate, <-chan struct{}) {
		t.Helper()
		c := run(t, lock, true)
		within(t, limit, c.elected, "election")
		if err := lock.Healthz(nil); err != nil {
			t.Fatal(err)
		}
		return c, lock.Lost()
	}
	c, lost := next(slow)
	c.cancel() // released
	<-c.done
	within(t, slow, lost, "Lost after the release")

	c, lost = next(slow)
	s.delete() // lost
	within(t, testRetryPeriod+testRenewDeadline+slow, c.done, "end of the run")
	within(t, slow, lost, "Lost after the loss")

	next(longestRetry + slow)
}

// Without ReleaseOnCancel the old lease stands, and its end is waited for: the old run's work may not have ended.
func TestRunAfterARunWithoutRelease(t *testing.T) {
	s := newStore(t)
	lock := newLock(t, s.client(), "a")
	c := run(t, lock, false)
	within(t, slow, c.elected, "election")
	c.cancel()
	<-c.done
	again := run(t, lock, false)
	took := within(t, testLease+longestRetry+slow, again.elected, "election")
	if took < testLease/4 {
		t.Fatalf("led again after %s", took)
	}
}

// The connection breaks under a renewal. (The driver needs half a second to notice that the server is back, so with the short
// timings of these tests one break is what a renew deadline covers.)
func TestBrokenConnectionKeepsLeadership(t *testing.T) {
	s := newStore(t)
	client, proxy := s.proxied()
	lock := newLock(t, client, "a")
	c := run(t, lock, true)
	within(t, slow, c.elected, "election")
	token, _ := lock.Token()
	outage := proxy.Inject(faultproxy.Fault{Kind: faultproxy.DropRequest, Command: "update"})
	within(t, testLease, outage.Done(), "a broken renewal")
	renewals := len(c.operations())
	eventually(t, testLease, "further renewals", func() bool { return len(c.operations()) > renewals+2 })
	if now, ok := lock.Token(); !ok || now != token || isClosed(c.stopped) {
		t.Fatalf("leadership changed: token %d, then %d, %t", token, now, ok)
	}
}
