/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package resourcelock

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	rl "k8s.io/client-go/tools/leaderelection/resourcelock"

	"github.com/mongolock/operator/hack/servers/servertest"
	"github.com/mongolock/operator/pkg/mongolock"
)

var leaseNames atomic.Int64

// leases are Lease objects of one name, of the test's own.
type leases struct {
	client kubernetes.Interface
	name   string
}

func newLeases(t *testing.T) *leases {
	t.Helper()
	config, err := clientcmd.BuildConfigFromFlags("", servertest.Kubeconfig())
	if err != nil {
		t.Fatal(err)
	}
	config.QPS = -1 // no limit
	connections, err := rest.HTTPClientFor(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { utilnet.CloseIdleConnectionsFor(connections.Transport) })
	client, err := kubernetes.NewForConfigAndClient(config, connections)
	if err != nil {
		t.Fatal(err)
	}
	return &leases{client, fmt.Sprintf("composite-%d", leaseNames.Add(1))}
}

func (l *leases) lock(identity string) *rl.LeaseLock {
	return &rl.LeaseLock{
		LeaseMeta: metav1.ObjectMeta{Namespace: testNamespace, Name: l.name},
		Client:    l.client.CoordinationV1(), LockConfig: rl.ResourceLockConfig{Identity: identity},
	}
}

// holder is who holds the Lease.
func (l *leases) holder(t *testing.T) string {
	t.Helper()
	record, _, err := l.lock("observer").Get(t.Context())
	if apierrors.IsNotFound(err) {
		return ""
	}
	if err != nil {
		t.Fatal(err)
	}
	return record.HolderIdentity
}

// compose makes a composite of a MongoDB lock and another.
func compose(t *testing.T, lock *Lock, other rl.Interface) *Composite {
	t.Helper()
	c, err := NewComposite(lock, other)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// elect does what an elector does to be elected.
func elect(ctx context.Context, lock rl.Interface) error {
	_, _, err := lock.Get(ctx)
	if apierrors.IsNotFound(err) {
		return lock.Create(ctx, record(lock.Identity()))
	}
	if err == nil {
		err = lock.Update(ctx, record(lock.Identity()))
	}
	return err
}

func TestCompositeNeedsOneIdentity(t *testing.T) {
	client := newStore(t).client()
	for what, err := range map[string]error{
		"one lock":       func() error { _, err := NewComposite(newLock(t, client, "a"), nil); return err }(),
		"two identities": func() error { _, err := NewComposite(newLock(t, client, "a"), newLeases(t).lock("b")); return err }(),
		"two Locks":      func() error { _, err := NewComposite(newLock(t, client, "a"), newLock(t, client, "a")); return err }(),
	} {
		if !errors.Is(err, mongolock.ErrInvalid) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestCompositeHoldsBothOrNone(t *testing.T) {
	s, l := newStore(t), newLeases(t)
	client := s.client()
	both := compose(t, newLock(t, client, "a"), l.lock("a"))
	if err := elect(t.Context(), both); err != nil {
		t.Fatal(err)
	}
	if who := l.holder(t); who != "a" || s.state(client).Holders[0].Owner != "a" {
		t.Fatalf("the Lease is held by %q, the lock by %+v", who, s.state(client).Holders)
	}
	for what, other := range map[string]rl.Interface{"the old lock": l.lock("b"), "the new lock": newLock(t, client, "b")} {
		if record, _, err := other.Get(t.Context()); err != nil || record.HolderIdentity != "a" {
			t.Errorf("%s is seen as %+v, %v", what, record, err)
		}
	}
	record, _, err := both.Get(t.Context())
	if err != nil || record.HolderIdentity != "a" {
		t.Errorf("its record is %+v, %v", record, err)
	}
	if err := both.Update(t.Context(), releaseRecord()); err != nil {
		t.Fatal(err)
	}
	if who := l.holder(t); who != "" || s.state(client).Held() {
		t.Errorf("after the release the Lease is held by %q, the lock by %+v", who, s.state(client).Holders)
	}
}

func TestCompositeGivesBackWhatIsNotEnough(t *testing.T) {
	s, l := newStore(t), newLeases(t)
	client := s.client()
	other := newLock(t, client, "b")
	lead(t, other)
	both := compose(t, newLock(t, client, "a"), l.lock("a"))
	record, _, err := both.Get(t.Context())
	if err != nil || record.HolderIdentity != "b" || record.LeaseDurationSeconds != 2 {
		t.Fatalf("its record is %+v, %v, and b leads", record, err)
	}
	if err := elect(t.Context(), both); !apierrors.IsConflict(err) {
		t.Fatalf("elected beside b: %v", err)
	}
	if who := l.holder(t); who != "" {
		t.Errorf("the Lease is held by %q, who does not lead", who)
	}
	if err := other.Update(t.Context(), releaseRecord()); err != nil {
		t.Fatal(err)
	}
	if err := elect(t.Context(), both); err != nil {
		t.Error(err)
	}
}

// leadBoth elects a composite, and tells it as an elector does.
func leadBoth(t *testing.T, c *Composite) {
	t.Helper()
	if err := elect(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	c.RecordEvent(becameLeader)
}

// The Lease of a leader is deleted, and somebody with the old lock alone leads.
func TestCompositeStopsWhenTheOtherLockIsLost(t *testing.T) {
	s, l := newStore(t), newLeases(t)
	client := s.client()
	lock := newLock(t, client, "a")
	both := compose(t, lock, l.lock("a"))
	leadBoth(t, both)
	lost := lock.Lost()
	if err := l.client.CoordinationV1().Leases(testNamespace).Delete(t.Context(), l.name, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := elect(t.Context(), l.lock("b")); err != nil {
		t.Fatal(err)
	}
	if err := both.Update(t.Context(), record("a")); err == nil {
		t.Error("renewed a Lease that another holds")
	}
	if _, _, err := both.Get(t.Context()); !errors.Is(err, mongolock.ErrLeaseLost) || !isClosed(lost) {
		t.Errorf("Get returned %v; the term is lost: %t", err, isClosed(lost))
	}
	if err := lock.Healthz(nil); !errors.Is(err, mongolock.ErrLeaseLost) {
		t.Errorf("the health check says %v", err)
	}
	if err := elect(t.Context(), both); !errors.Is(err, mongolock.ErrLeaseLost) {
		t.Errorf("it would lead again before the elector has stopped: %v", err)
	}
	if err := both.Update(t.Context(), releaseRecord()); err != nil || l.holder(t) != "b" {
		t.Errorf("its release: %v; the Lease is held by %q", err, l.holder(t))
	}
	both.RecordEvent(stoppedLeading)
	if _, _, err := both.Get(t.Context()); err != nil {
		t.Errorf("after the elector has stopped: %v", err)
	}
}

// The lock in MongoDB is lost: the Lease is not renewed any more.
func TestCompositeStopsWhenTheLockIsLost(t *testing.T) {
	s, l := newStore(t), newLeases(t)
	client := s.client()
	lock := newLock(t, client, "a")
	both := compose(t, lock, l.lock("a"))
	leadBoth(t, both)
	_, before, err := l.lock("observer").Get(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	token, _ := lock.Token()
	if err := client.Evict(t.Context(), lock.Describe(), token, "test"); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if err := both.Update(t.Context(), record("a")); err == nil {
			t.Fatal("renewed a lock that was taken away")
		}
	}
	if _, after, err := l.lock("observer").Get(t.Context()); err != nil || string(after) != string(before) {
		t.Errorf("the Lease went on: %s, %v", after, err)
	}
}

// dying is a Lease whose requests get no answers any more, from some time on. It is a fake, as the test's API server is everybody's.
type dying struct {
	rl.Interface
	dead atomic.Bool
}

func (d *dying) Get(ctx context.Context) (*rl.LeaderElectionRecord, []byte, error) {
	if d.dead.Load() {
		<-ctx.Done()
		return nil, nil, ctx.Err()
	}
	return d.Interface.Get(ctx)
}

func (d *dying) Update(ctx context.Context, record rl.LeaderElectionRecord) error {
	if d.dead.Load() {
		<-ctx.Done()
		return ctx.Err()
	}
	return d.Interface.Update(ctx, record)
}

// The API server cannot be reached, and MongoDB can: the term ends before anybody may take the Lease, although the lock is renewed.
func TestCompositeEndsWithTheOtherLock(t *testing.T) {
	s, l := newStore(t), newLeases(t)
	lock := newLock(t, s.client(), "a")
	other := &dying{Interface: l.lock("a")}
	both := compose(t, lock, other)
	renewed := time.Now()
	leadBoth(t, both)
	other.dead.Store(true)
	for err := error(nil); !isClosed(lock.Lost()); err = both.Update(t.Context(), record("a")) {
		if _, leading := lock.Token(); leading && time.Since(renewed) > testLease {
			t.Fatalf("still leading %s after the last renewal of the Lease: %v", time.Since(renewed), err)
		}
	}
	begin := time.Now()
	if _, _, err := both.Get(t.Context()); !errors.Is(err, mongolock.ErrLeaseLost) {
		t.Errorf("Get: %v", err)
	}
	if err := both.Update(t.Context(), releaseRecord()); err != nil {
		t.Errorf("release: %v", err)
	}
	if took := time.Since(begin); took > lock.config.RequestTimeout/2 {
		t.Errorf("its release, which the work outlasts, took %s", took)
	}
}

// A renewal whose record is the one that was sent before, to the second, is none for those who count from when the record changes.
func TestCompositeCountsFromTheFirstSend(t *testing.T) {
	s, l := newStore(t), newLeases(t)
	lock := newLock(t, s.client(), "a")
	both := compose(t, lock, l.lock("a"))
	election := record("a")
	if _, _, err := both.Get(t.Context()); !apierrors.IsNotFound(err) {
		t.Fatal(err)
	}
	before := time.Now()
	if err := both.Create(t.Context(), election); err != nil {
		t.Fatal(err)
	}
	first := lock.current().now().until
	if err := both.Update(t.Context(), election); err != nil {
		t.Fatal(err)
	}
	if again := lock.current().now().until; !again.Equal(first) || first.Sub(before) < testLease*8/10 {
		t.Errorf("the term lasts until %s, and after the same record again until %s", first.Sub(before), again.Sub(before))
	}
	election.RenewTime.Time = election.RenewTime.Add(time.Second)
	if err := both.Update(t.Context(), election); err != nil {
		t.Fatal(err)
	}
	if later := lock.current().now().until; !later.After(first) {
		t.Error("a renewal did not lengthen the term")
	}
}

// flaky is a Lease that refuses an update when it is told to.
type flaky struct {
	rl.Interface
	refuse bool
}

func (f *flaky) Update(ctx context.Context, record rl.LeaderElectionRecord) error {
	if f.refuse {
		return errors.New("refused")
	}
	return f.Interface.Update(ctx, record)
}

// Renewals of the Lease fail for a while: that is no loss, and its time goes on.
func TestCompositeSurvivesFailedRenewals(t *testing.T) {
	s, l := newStore(t), newLeases(t)
	lock := newLock(t, s.client(), "a")
	other := &flaky{Interface: l.lock("a")}
	both := compose(t, lock, other)
	leadBoth(t, both)
	until := lock.current().now().until
	election := record("a")
	for _, other.refuse = range []bool{true, true, false} {
		election.RenewTime.Time = election.RenewTime.Add(time.Second) // so fast that the lease lasts
		if err := both.Update(t.Context(), election); (err != nil) != other.refuse {
			t.Fatalf("a renewal, refused %t: %v", other.refuse, err)
		}
		if now := lock.current().now().until; now.After(until) == other.refuse {
			t.Errorf("after a renewal, refused %t, the term lasts %s longer", other.refuse, now.Sub(until))
		}
		if record, _, err := both.Get(t.Context()); err != nil || record.HolderIdentity != "a" {
			t.Fatalf("Get after a renewal, refused %t: %+v, %v", other.refuse, record, err)
		}
	}
}

// usurped is a Lease with somebody who takes the lock in MongoDB as soon as this is acquired.
type usurped struct {
	rl.Interface
	usurp func()
}

func (u *usurped) Create(ctx context.Context, record rl.LeaderElectionRecord) error {
	u.usurp()
	return u.Interface.Create(ctx, record)
}

// A candidate that got the Lease and not the lock gives the Lease back, and its term has not begun.
func TestCompositeGivesTheLeaseBack(t *testing.T) {
	s, l := newStore(t), newLeases(t)
	client := s.client()
	lock := newLock(t, client, "a")
	both := compose(t, lock, &usurped{l.lock("a"), func() { lead(t, newLock(t, client, "b")) }})
	lost := lock.Lost()
	if err := elect(t.Context(), both); !apierrors.IsConflict(err) {
		t.Fatalf("elected beside b: %v", err)
	}
	if who := l.holder(t); who != "" || isClosed(lost) {
		t.Errorf("the Lease is held by %q; a term that did not begin has ended: %t", who, isClosed(lost))
	}
}

// Twins share an identity: the second is not elected, and does not touch what the first holds.
func TestCompositeOfATwin(t *testing.T) {
	s, l := newStore(t), newLeases(t)
	first := compose(t, newLock(t, s.client(), "a"), l.lock("a"))
	leadBoth(t, first)
	twin := compose(t, newLock(t, s.client(), "a"), l.lock("a"))
	_, before, err := l.lock("observer").Get(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if err := elect(t.Context(), twin); !apierrors.IsConflict(err) {
			t.Errorf("a twin was answered %v", err)
		}
	}
	if _, after, err := l.lock("observer").Get(t.Context()); err != nil || string(after) != string(before) {
		t.Errorf("the Lease became %s, %v", after, err)
	}
	if err := first.Update(t.Context(), record("a")); err != nil {
		t.Error(err)
	}
}

// The gate is asked once. If it is closed, both locks are kept.
func TestCompositeDrains(t *testing.T) {
	for _, open := range []bool{true, false} {
		t.Run(fmt.Sprint(open), func(t *testing.T) {
			s, l := newStore(t), newLeases(t)
			asked := 0
			lock := gated(t, s, func(context.Context) bool { asked++; return open })
			both := compose(t, lock, l.lock("a"))
			leadBoth(t, both)
			if err := both.Update(t.Context(), releaseRecord()); err != nil {
				t.Fatal(err)
			}
			want := map[bool]string{true: "", false: "a"}[open]
			if who := l.holder(t); who != want || s.state(lock.client).Held() == open || asked != 1 {
				t.Errorf("asked %d times: the Lease is held by %q", asked, who)
			}
		})
	}
}
