/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package resourcelock

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	rl "k8s.io/client-go/tools/leaderelection/resourcelock"

	"github.com/mongolock/operator/hack/faultproxy"
	"github.com/mongolock/operator/pkg/mongolock"
)

func TestS1TakeOverRefusedWhileTheServerSaysHeld(t *testing.T) {
	s := newStore(t)
	client := s.client()
	a, b := newLock(t, client, "a"), newLock(t, client, "b")
	lead(t, a)
	if _, _, err := b.Get(t.Context()); err != nil {
		t.Fatal(err)
	}
	before := s.state(client)
	err := b.Update(t.Context(), record("b"))
	if !apierrors.IsConflict(err) || !strings.Contains(err.Error(), `held by "a"`) || !strings.Contains(err.Error(), "for another ") {
		t.Fatalf("want a conflict that names the holder and the time left, got %v", err)
	}
	after := s.state(client)
	if after.Seq != before.Seq || after.Holders[0].Token != before.Holders[0].Token || after.Holders[0].Revision != before.Holders[0].Revision {
		t.Fatalf("changed from %+v to %+v", before, after)
	}
	s.waitExpired(client)
	if err := b.Update(t.Context(), record("b")); err != nil {
		t.Fatalf("the lease is over: %v", err)
	}
}

func TestTokenGrowsFromTermToTermAndStaysInOne(t *testing.T) {
	s := newStore(t)
	lock := newLock(t, s.client(), "a")
	last := int64(0)
	for range 20 {
		token := lead(t, lock)
		if token <= last {
			t.Fatalf("token %d after %d", token, last)
		}
		last = token
		for range 3 {
			if err := lock.Update(t.Context(), record("a")); err != nil {
				t.Fatal(err)
			}
			if now, ok := lock.Token(); !ok || now != token {
				t.Fatalf("token changed from %d to %d, %t in one term", token, now, ok)
			}
		}
		lost := lock.Lost()
		if isClosed(lost) {
			t.Fatal("lost while leading")
		}
		if err := lock.Update(t.Context(), releaseRecord()); err != nil {
			t.Fatal(err)
		}
		if now, ok := lock.Token(); ok || now != 0 || !isClosed(lost) {
			t.Fatalf("after the release: token %d, %t, lost %t", now, ok, isClosed(lost))
		}
		if err := lock.Healthz(nil); err != nil {
			t.Fatalf("a release is no loss: %v", err)
		}
		lock.RecordEvent(stoppedLeading)
	}
}

func TestS6ReleaseWithoutLeaseIsNothing(t *testing.T) {
	s := newStore(t)
	client, proxy := s.proxied()
	a, b := newLock(t, s.client(), "a"), newLock(t, client, "b")
	lead(t, a)
	if _, _, err := b.Get(t.Context()); err != nil {
		t.Fatal(err)
	}
	proxy.Reset()
	for range 100 {
		if err := b.Update(t.Context(), releaseRecord()); err != nil {
			t.Fatal(err)
		}
	}
	for _, command := range []string{"update", "findAndModify", "find", "insert"} {
		if n := proxy.Commands()[command]; n != 0 {
			t.Errorf("releasing nothing sent %d %s commands", n, command)
		}
	}
	if err := a.Update(t.Context(), record("a")); err != nil {
		t.Fatalf("the leader was disturbed: %v", err)
	}
}

// The server has given the lock to somebody else, and the deposed leader does not know when it releases.
func TestS6ReleaseOfALostLeaseIsNil(t *testing.T) {
	s := newStore(t)
	client := s.client()
	a, b := newLock(t, client, "a"), newLock(t, client, "b")
	lead(t, a)
	s.delete()
	token := lead(t, b)
	if err := a.Update(t.Context(), releaseRecord()); err != nil {
		t.Fatalf("a conflict here makes the elector spin, any error is noise: %v", err)
	}
	if held := s.state(client).Holders; len(held) != 1 || held[0].Token != token {
		t.Fatalf("the successor's record was touched: %+v", held)
	}
}

// dead is a leader whose connections forward nothing any more.
func dead(t *testing.T) *Lock {
	t.Helper()
	s := newStore(t)
	client, proxy := s.proxied()
	lock := newLock(t, client, "a")
	lead(t, lock)
	proxy.Blackhole()
	t.Cleanup(proxy.Heal)
	return lock
}

func TestS8LostByTheLocalDeadlineWithoutElector(t *testing.T) {
	const lease = 10 * time.Second // of which the margin is a second
	s := newStore(t)
	observer := s.client()
	client, proxy := s.proxied()
	lock, err := New(client, Config{Namespace: testNamespace, Name: testName, Identity: "a", LeaseDuration: lease})
	if err != nil {
		t.Fatal(err)
	}
	election := record("a")
	election.LeaseDurationSeconds = int(lease / time.Second)
	if err := lock.Create(t.Context(), election); err != nil {
		t.Fatal(err)
	}
	lock.RecordEvent(becameLeader)
	proxy.Blackhole()
	t.Cleanup(proxy.Heal)
	if isClosed(lock.Lost()) || lock.Healthz(nil) != nil {
		t.Fatal("lost too early")
	}
	within(t, lease+slow, lock.Lost(), "Lost with a dead network and no elector")
	if token, ok := lock.Token(); ok {
		t.Fatalf("there is still a token: %d", token)
	}
	if err := lock.Healthz(nil); !errors.Is(err, mongolock.ErrLeaseLost) {
		t.Fatalf("the health check says %v", err)
	}
	if !s.state(observer).Held() {
		t.Fatal("the leader learned of its loss only after the server's end of the lease")
	}
}

func TestS8CallsEndWithTheLease(t *testing.T) {
	lock := dead(t)
	begin := time.Now()
	err := lock.Update(t.Context(), record("a"))
	for err != nil && !apierrors.IsConflict(err) { // request timeouts, until the lease is over
		if took := time.Since(begin); took > testLease+slow {
			t.Fatalf("still not lost after %s: %v", took, err)
		}
		err = lock.Update(t.Context(), record("a"))
	}
	if took := time.Since(begin); err == nil {
		t.Fatalf("after %s: %v", took, err)
	}
	if !isClosed(lock.Lost()) {
		eventually(t, slow, "Lost", func() bool { return isClosed(lock.Lost()) })
	}
	// The elector's release: its first call is Get. Work goes on until it has returned.
	begin = time.Now()
	if _, _, err := lock.Get(t.Context()); !errors.Is(err, mongolock.ErrLeaseLost) {
		t.Fatalf("Get after the loss: %v", err)
	}
	if err := lock.Update(t.Context(), releaseRecord()); err != nil {
		t.Fatalf("release after the loss: %v", err)
	}
	if took := time.Since(begin); took > lock.config.RequestTimeout/2 {
		t.Fatalf("cleaning up took %s without a server", took)
	}
}

func TestReleaseWithoutTimeLeftEndsTheTerm(t *testing.T) {
	lock := dead(t)
	lost := lock.Lost()
	ctx, cancel := context.WithDeadline(t.Context(), time.Now())
	defer cancel()
	begin := time.Now()
	err := lock.Update(ctx, releaseRecord())
	if took := time.Since(begin); took > slow || !errors.Is(err, context.DeadlineExceeded) || !isClosed(lost) {
		t.Fatalf("after %s: %v", took, err)
	}
}

// Get is the first call of an elector's release, and the work goes on until it has returned.
func TestS9GetEndsWithTheLease(t *testing.T) {
	s := newStore(t)
	client, proxy := s.proxied()
	lock, err := New(client, Config{
		Namespace: testNamespace, Name: testName, Identity: "a", LeaseDuration: testLease, RequestTimeout: testLease - slow/10,
	})
	if err != nil {
		t.Fatal(err)
	}
	lead(t, lock)
	proxy.Blackhole()
	defer proxy.Heal()
	time.Sleep(testLease / 2) // the request timeout alone would end half a lease too late
	begin := time.Now()
	_, _, err = lock.Get(t.Context())
	if took := time.Since(begin); err == nil || took > testLease*3/4 {
		t.Fatalf("Get ended after %s, later than the lease: %v", took, err)
	}
	within(t, slow, lock.Lost(), "Lost")
	if _, _, err := lock.Get(t.Context()); !errors.Is(err, mongolock.ErrLeaseLost) {
		t.Fatal(err)
	}
}

func TestReleaseEndsTheTermBeforeItIsSent(t *testing.T) {
	s := newStore(t)
	client, proxy := s.proxied()
	lock := newLock(t, client, "a")
	lead(t, lock)
	lost := lock.Lost()
	release := proxy.Inject(faultproxy.Fault{Kind: faultproxy.HoldRequest, Command: "update"})
	done := make(chan error, 1)
	go func() { done <- lock.Update(t.Context(), releaseRecord()) }()
	within(t, slow, release.Fired(), "the release")
	if !isClosed(lost) {
		t.Error("the successor could be elected before Lost is closed")
	}
	release.Release()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

func TestReleaseToADeadServerEndsInTime(t *testing.T) {
	lock := dead(t)
	lost := lock.Lost()
	begin := time.Now()
	err := lock.Update(t.Context(), releaseRecord())
	if took := time.Since(begin); took > testLease+slow || err == nil || apierrors.IsConflict(err) {
		t.Fatalf("after %s: %v", took, err)
	}
	if !isClosed(lost) {
		t.Fatal("the term goes on after its release")
	}
}

func TestV5CallsHonourTheContextAndTheRequestTimeout(t *testing.T) {
	s := newStore(t)
	client, proxy := s.proxied()
	leader, lock := newLock(t, s.client(), "a"), newLock(t, client, "b")
	lead(t, leader)
	if _, _, err := lock.Get(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.waitExpired(leader.client)
	proxy.Blackhole()
	defer proxy.Heal()
	calls := map[string]func(context.Context) error{
		"get":    func(ctx context.Context) error { _, _, err := lock.Get(ctx); return err },
		"create": func(ctx context.Context) error { return lock.Create(ctx, record("b")) },
		"update": func(ctx context.Context) error { return lock.Update(ctx, record("b")) },
	}
	for name, call := range calls {
		ctx, cancel := context.WithCancel(t.Context())
		var cancelled time.Time
		time.AfterFunc(30*time.Millisecond, func() {
			cancelled = time.Now()
			cancel()
		})
		err := call(ctx)
		<-ctx.Done()
		if late := time.Since(cancelled); late > slow/2 || !errors.Is(err, context.Canceled) {
			t.Errorf("%s: returned %s after it was cancelled: %v", name, late, err)
		}
	}
	for name, call := range calls {
		begin := time.Now()
		err := call(t.Context()) // the elector gives no deadline
		if took := time.Since(begin); took > lock.config.RequestTimeout+slow || err == nil {
			t.Errorf("%s: took %s with the server dead and a request timeout of %s: %v", name, took, lock.config.RequestTimeout, err)
		}
	}
}

func TestS12S13LostRepliesChangeNothing(t *testing.T) {
	s := newStore(t)
	client, proxy := s.proxied()
	lock := newLock(t, client, "a")
	acquiring := proxy.Inject(faultproxy.Fault{Kind: faultproxy.DropReply, Command: "findAndModify", Match: grants})
	token := lead(t, lock)
	if acquiring.Count() != 1 {
		t.Fatal("the fault missed the acquisition")
	}
	renewing := proxy.Inject(faultproxy.Fault{Kind: faultproxy.DropReply, Command: "update"})
	if err := lock.Update(t.Context(), record("a")); err != nil && renewing.Count() == 1 {
		err = lock.Update(t.Context(), record("a"))
		if err != nil {
			t.Fatal(err)
		}
	}
	if renewing.Count() != 1 {
		t.Fatal("the fault missed the renewal")
	}
	state := s.state(client)
	if now, ok := lock.Token(); !ok || now != token || state.Grants != 1 || state.Holders[0].Token != token {
		t.Fatalf("one term became more: token %d, then %d, %+v", token, now, state)
	}
}

// grants matches the findAndModify that finds the document; the first, on an absent lock, finds none.
func grants(command bson.Raw) bool {
	id, err := command.LookupErr("query", "_id")
	return err == nil && id.StringValue() == testID
}

func TestS17DocumentDeletedUnderTheLeader(t *testing.T) {
	s := newStore(t)
	lock := newLock(t, s.client(), "a")
	token := lead(t, lock)
	lost := lock.Lost()
	s.delete()
	if err := lock.Update(t.Context(), record("a")); !apierrors.IsConflict(err) {
		t.Fatalf("want a conflict, got %v", err)
	}
	within(t, slow, lost, "Lost")
	refusesUntilStopped(t, lock)
	lock.RecordEvent(stoppedLeading)
	if lock.Healthz(nil) == nil {
		t.Fatal("healthy although leadership was lost and nobody has begun anew")
	}
	if next := lead(t, lock); next <= token {
		t.Fatalf("token %d after %d", next, token)
	}
	if err := lock.Healthz(nil); err != nil {
		t.Fatalf("unhealthy in a new term: %v", err)
	}
}

// A slow path of the elector begins with Get: it must notice, as the elector may never renew again after it.
func TestS17GetNoticesTheDeletion(t *testing.T) {
	s := newStore(t)
	client := s.client()
	a, b := newLock(t, client, "a"), newLock(t, client, "b")
	lead(t, a)
	lost := a.Lost()
	s.delete()
	lead(t, b)
	if _, _, err := a.Get(t.Context()); !apierrors.IsConflict(err) {
		t.Fatalf("want a conflict, got %v", err)
	}
	within(t, slow, lost, "Lost")
	refusesUntilStopped(t, a)
}

// The elector may see NotFound before it renews.
func TestS17CreateInALostTermIsRefused(t *testing.T) {
	s := newStore(t)
	client := s.client()
	lock := newLock(t, client, "a")
	lead(t, lock)
	s.delete()
	if err := lock.Create(t.Context(), record("a")); !apierrors.IsConflict(err) {
		t.Fatalf("want a conflict, got %v", err)
	}
	refusesUntilStopped(t, lock)
	if state := s.state(client); state.Exists {
		t.Fatalf("acquired anew: %+v", state)
	}
}

func refusesUntilStopped(t *testing.T, lock *Lock) {
	t.Helper()
	_, _, err := lock.Get(t.Context())
	for what, err := range map[string]error{
		"get":    err,
		"update": lock.Update(t.Context(), record(lock.Identity())),
		"create": lock.Create(t.Context(), record(lock.Identity())),
	} {
		if !errors.Is(err, mongolock.ErrLeaseLost) || apierrors.IsConflict(err) || apierrors.IsNotFound(err) {
			t.Fatalf("%s in a lost term: %v", what, err)
		}
	}
	if _, ok := lock.Token(); ok {
		t.Fatal("a lost term has a token")
	}
}

// An elector that fails after our success, as with a MultiLock whose other half refused, never says that it stopped leading.
func TestLossBeforeTheElectorKnewIsNotSticky(t *testing.T) {
	s := newStore(t)
	client := s.client()
	lock := newLock(t, client, "a")
	if err := lock.Create(t.Context(), record("a")); err != nil {
		t.Fatal(err)
	}
	lost := lock.Lost()
	within(t, testLease, lost, "the unused lease's end")
	if err := lock.Healthz(nil); err != nil {
		t.Fatalf("a candidate is unhealthy: %v", err)
	}
	s.waitExpired(client)
	lead(t, lock)
	if isClosed(lock.Lost()) {
		t.Fatal("the new term has the old channel")
	}
}

// Two locks share an identity: what an elector takes for its own record is another's.
func TestS11SameIdentityDoesNotShareALease(t *testing.T) {
	s := newStore(t)
	client := s.client()
	first, second := newLock(t, client, "twin"), newLock(t, client, "twin")
	lead(t, first)
	got, _, err := second.Get(t.Context())
	if err != nil || got.HolderIdentity != second.Identity() {
		t.Fatalf("got %v, %v", got, err)
	}
	if err := second.Update(t.Context(), record("twin")); !apierrors.IsConflict(err) {
		t.Fatalf("the twin renewed or took over: %v", err)
	}
	if err := second.Update(t.Context(), releaseRecord()); err != nil {
		t.Fatal(err)
	}
	if err := first.Update(t.Context(), record("twin")); err != nil {
		t.Fatalf("the twin's release hit the leader: %v", err)
	}
}

func TestFreeRecordAfterExpiry(t *testing.T) {
	s := newStore(t)
	client := s.client()
	a, b := newLock(t, client, "a"), newLock(t, client, "b")
	lead(t, a)
	a.RecordEvent(stoppedLeading) // an elector without ReleaseOnCancel
	if _, ok := a.Token(); ok || !isClosed(a.Lost()) {
		t.Fatal("the term goes on although the elector has stopped")
	}
	var free *rl.LeaderElectionRecord
	eventually(t, testLease+slow, "a record without holder", func() bool {
		var err error
		if free, _, err = b.Get(t.Context()); err != nil {
			t.Fatal(err)
		}
		return free.HolderIdentity == ""
	})
	if free.LeaseDurationSeconds < 1 || free.RenewTime.IsZero() {
		t.Fatalf("got %+v", free)
	}
	lead(t, b)
	if err := a.Healthz(nil); err != nil {
		t.Fatalf("stopping is no loss: %v", err)
	}
}
