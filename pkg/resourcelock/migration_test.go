/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package resourcelock

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/client-go/tools/leaderelection"
	rl "k8s.io/client-go/tools/leaderelection/resourcelock"
	"k8s.io/klog/v2"

	"github.com/mongolock/operator/hack/servers/servertest"
)

// The timings of the migrations: a third of an operator's usual ones.
const (
	moveLease = 5 * time.Second
	moveRenew = 3 * time.Second
	moveRetry = 600 * time.Millisecond
)

// release is a version of a program, by the lock of its elector. A process that is dead is not heard of any more.
type release func(dead context.Context, s *store, l *leases, identity string) (lock rl.Interface, lost func() <-chan struct{})

func withLease(dead context.Context, _ *store, l *leases, identity string) (rl.Interface, func() <-chan struct{}) {
	return mortal{l.lock(identity), dead}, func() <-chan struct{} { return nil }
}

func withMongoDB(dead context.Context, s *store, _ *leases, identity string) (rl.Interface, func() <-chan struct{}) {
	lock := s.moveLock(identity)
	return mortal{lock, dead}, lock.Lost
}

func withBoth(dead context.Context, s *store, l *leases, identity string) (rl.Interface, func() <-chan struct{}) {
	lock := s.moveLock(identity)
	return mortal{compose(s.t, lock, mortal{l.lock(identity), dead}), dead}, lock.Lost
}

func (s *store) moveLock(identity string) *Lock {
	lock, err := New(s.shared, Config{Namespace: testNamespace, Name: testName, Identity: identity, LeaseDuration: moveLease})
	if err != nil {
		s.t.Fatal(err)
	}
	return lock
}

// deployment is some replicas of one program, of which one leads.
type deployment struct {
	s      *store
	l      *leases
	random *rand.Rand
	number int

	mu       sync.Mutex
	leaders  map[*leader]struct{}
	terms    int
	overlaps int // how often a leader found another one at work
}

// leader is who was told to lead.
type leader struct {
	ctx        context.Context
	lost, dead <-chan struct{}
}

// over tells whether it has been told, in one way or another, to lead no more.
func (l *leader) over() bool { return l.ctx.Err() != nil || isClosed(l.lost) || isClosed(l.dead) }

// replica is a running elector.
type replica struct {
	stop    context.CancelFunc
	kill    func()
	stopped chan struct{}
}

// mortal is a lock whose process may be killed: then it asks no more, and what it asked is not answered. Of a composite, one of the two
// locks may be taken then and the other not.
type mortal struct {
	rl.Interface
	dead context.Context
}

func (m mortal) Get(ctx context.Context) (record *rl.LeaderElectionRecord, raw []byte, err error) {
	err = m.live(func() error {
		record, raw, err = m.Interface.Get(ctx)
		return err
	})
	return record, raw, err
}

func (m mortal) Create(ctx context.Context, record rl.LeaderElectionRecord) error {
	return m.live(func() error { return m.Interface.Create(ctx, record) })
}

func (m mortal) Update(ctx context.Context, record rl.LeaderElectionRecord) error {
	return m.live(func() error { return m.Interface.Update(ctx, record) })
}

func (m mortal) live(call func() error) error {
	if m.dead.Err() != nil {
		return m.dead.Err()
	}
	err := call()
	if m.dead.Err() != nil {
		return m.dead.Err()
	}
	return err
}

// start starts a replica of a version.
func (d *deployment) start(version release) *replica {
	d.number++
	dead, kill := context.WithCancel(context.Background())
	lock, lost := version(dead, d.s, d.l, fmt.Sprintf("replica-%d", d.number))
	ctx, stop := context.WithCancel(klog.NewContext(d.s.t.Context(), logr.Discard()))
	r := &replica{stop: stop, kill: kill, stopped: make(chan struct{})}
	elector, err := leaderelection.NewLeaderElector(leaderelection.LeaderElectionConfig{
		Lock: lock, Name: testID, ReleaseOnCancel: true,
		LeaseDuration: moveLease, RenewDeadline: moveRenew, RetryPeriod: moveRetry,
		Callbacks: leaderelection.LeaderCallbacks{
			OnStartedLeading: func(ctx context.Context) { d.lead(&leader{ctx, lost(), dead.Done()}) },
			OnStoppedLeading: func() {},
		},
	})
	if err != nil {
		d.s.t.Fatal(err)
	}
	go func() {
		defer close(r.stopped)
		elector.Run(ctx)
		stop()
		kill()
	}()
	return r
}

// lead notes a leader, and whether it is alone.
func (d *deployment) lead(l *leader) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.terms++
	for other := range d.leaders {
		if !other.over() {
			d.overlaps++
		}
	}
	d.leaders[l] = struct{}{}
}

func (d *deployment) leading() (n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for l := range d.leaders {
		if !l.over() {
			n++
		}
	}
	return n
}

// replace replaces one replica by one of a version, by a clean stop or a kill, in either order, at a random time; every other time when
// somebody leads.
func (d *deployment) replace(old *replica, version release) *replica {
	if d.number%2 == 0 {
		eventually(d.s.t, 3*moveLease+slow, "somebody leads", func() bool { return d.leading() == 1 })
	}
	var next *replica
	first := d.random.IntN(2) == 0
	if first {
		next = d.start(version)
	}
	time.Sleep(time.Duration(d.random.Int64N(int64(moveLease / 4)))) // a random phase is what this is about
	if d.random.IntN(3) == 0 {
		old.kill()
		old.stop()
	} else {
		old.stop()
		<-old.stopped
	}
	if !first {
		next = d.start(version)
	}
	return next
}

// TestE3MigrationWithoutTwoLeaders replaces the replicas of twelve programs one by one, forty times each: from a Lease to both to MongoDB,
// back over both to the Lease, and so on.
func TestE3MigrationWithoutTwoLeaders(t *testing.T) {
	const deployments, replacements = 12, 40
	t.Parallel()
	var total, terms atomic.Int32
	var all sync.WaitGroup
	for i := range deployments { // they wait most of the time, so that all can run at once
		all.Go(func() {
			t.Run(fmt.Sprint(i), func(t *testing.T) {
				s := &store{t: t, database: servertest.Database(t)}
				s.shared = s.client()
				d := &deployment{s: s, l: newLeases(t), random: rand.New(rand.NewPCG(uint64(i), 3)), leaders: map[*leader]struct{}{}}
				d.migrate(replacements)
				d.mu.Lock()
				defer d.mu.Unlock()
				total.Add(replacements)
				terms.Add(int32(d.terms))
				if d.overlaps > 0 {
					t.Errorf("%d times two led", d.overlaps)
				}
			})
		})
	}
	all.Wait()
	t.Logf("%d replacements, %d terms of leadership", total.Load(), terms.Load())
	if total.Load() < 480 || terms.Load() < deployments*replacements/4 {
		t.Errorf("%d replacements and %d terms prove too little", total.Load(), terms.Load())
	}
}

// migrate replaces replicas by those of the next version, again and again, and stops them.
func (d *deployment) migrate(replacements int) {
	const replicas = 2
	versions := []release{withLease, withBoth, withMongoDB, withBoth}
	var running []*replica
	for range replicas {
		running = append(running, d.start(versions[0]))
	}
	defer func() {
		for _, r := range running {
			r.stop()
			<-r.stopped
		}
	}()
	for n := range replacements {
		at := n % replicas
		running[at] = d.replace(running[at], versions[(n/replicas+1)%len(versions)])
	}
	eventually(d.s.t, 3*moveLease+slow, "somebody leads in the end", func() bool { return d.leading() == 1 })
}
