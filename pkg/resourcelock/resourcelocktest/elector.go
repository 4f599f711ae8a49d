/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package resourcelocktest

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/client-go/tools/leaderelection"
	rl "k8s.io/client-go/tools/leaderelection/resourcelock"
	"k8s.io/klog/v2"
)

// elector is a real elector on a lock.
type elector struct {
	Candidate
	cancel  context.CancelFunc
	dead    atomic.Bool   // its process is as if killed
	elected chan struct{} // closed when its work begins
	stopped chan struct{} // closed when its work has stopped
	done    chan struct{} // closed when Run has returned

	// When its work began, to be read after elected is closed, and when it had stopped, after stopped is. Who waits for both channels
	// learns of them in any order, and late.
	electedAt, stoppedAt time.Time

	mu    sync.Mutex
	calls []string      // of the lock, in order, as they began
	stuck chan struct{} // if not nil, calls do not begin before it is closed
}

// start runs an elector on the lock of a new candidate.
func (e *election) start(ctx context.Context, identity string) (*elector, error) {
	return e.startOn(ctx, e.candidate(identity))
}

func (e *election) startOn(ctx context.Context, c Candidate) (*elector, error) {
	r := &elector{Candidate: c, elected: make(chan struct{}), stopped: make(chan struct{}), done: make(chan struct{})}
	if lock, ok := c.Lock.(timed); ok { // an elector has its own idea of how long a call may last
		c.Lock = lock.Interface
	}
	ctx, r.cancel = context.WithCancel(klog.NewContext(ctx, logr.Discard()))
	runner, err := leaderelection.NewLeaderElector(leaderelection.LeaderElectionConfig{
		Lock: &observed{c.Lock, r}, Name: c.Lock.Describe(), ReleaseOnCancel: true,
		LeaseDuration: e.LeaseDuration, RenewDeadline: e.RenewDeadline, RetryPeriod: e.RetryPeriod,
		Callbacks: leaderelection.LeaderCallbacks{OnStartedLeading: r.work, OnStoppedLeading: func() {}},
	})
	if err != nil {
		r.cancel()
		return nil, err
	}
	e.running = append(e.running, r)
	go func() {
		defer close(r.done)
		runner.Run(ctx)
	}()
	return r, nil
}

// work is the leader's work. It stops when the elector or the lock says that leadership is over.
func (r *elector) work(ctx context.Context) {
	r.electedAt = time.Now()
	var lost <-chan struct{}
	if r.Lost != nil {
		lost = r.Lost()
	}
	close(r.elected)
	select {
	case <-ctx.Done():
	case <-lost:
	}
	r.stoppedAt = time.Now()
	close(r.stopped)
}

// stoppedBefore is that the work of an elector had stopped when that of another began, which it has.
func (r *elector) stoppedBefore(next *elector) error {
	if err := within(slow, r.stopped, "the end of the old leader's work, after the new one's began"); err != nil {
		return broken(err)
	}
	if late := r.stoppedAt.Sub(next.electedAt); late > 0 {
		return breach("the old leader worked for %s while the new one did", late)
	}
	return nil
}

func (r *elector) operations() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]string(nil), r.calls...)
}

// term is the leader's, by the record as another sees it, and its token if there is such a thing.
func (r *elector) term(ctx context.Context, other rl.Interface) (*rl.LeaderElectionRecord, int64, error) {
	token := int64(0)
	if r.Token != nil {
		token, _ = r.Token()
	}
	record, _, err := other.Get(ctx)
	return record, token, err
}

// calledAgain waits until the elector has called its lock some more times.
func (r *elector) calledAgain(ctx context.Context, times int) error {
	before := len(r.operations())
	return eventually(ctx, preparation, "further calls of the elector", func() (bool, error) { return len(r.operations()) >= before+times, nil })
}

// jam makes the elector wait for ever in its next call of the lock, until the returned function is called.
func (r *elector) jam() (free func()) {
	stuck := make(chan struct{})
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stuck = stuck
	return func() { close(stuck) }
}

// observed notes what an elector asks of its lock, and keeps a dead one from it.
type observed struct {
	rl.Interface
	by *elector
}

var errDead = errors.New("the candidate is dead")

func (o *observed) note(call string) error {
	if o.by.dead.Load() {
		return errDead
	}
	o.by.mu.Lock()
	o.by.calls = append(o.by.calls, call)
	stuck := o.by.stuck
	o.by.mu.Unlock()
	if stuck != nil {
		<-stuck
	}
	return nil
}

// Get implements [rl.Interface].
func (o *observed) Get(ctx context.Context) (*rl.LeaderElectionRecord, []byte, error) {
	if err := o.note("get"); err != nil {
		return nil, nil, err
	}
	return o.Interface.Get(ctx)
}

// Create implements [rl.Interface].
func (o *observed) Create(ctx context.Context, record rl.LeaderElectionRecord) error {
	if err := o.note("create"); err != nil {
		return err
	}
	return o.Interface.Create(ctx, record)
}

// Update implements [rl.Interface].
func (o *observed) Update(ctx context.Context, record rl.LeaderElectionRecord) error {
	if err := o.note("update"); err != nil {
		return err
	}
	return o.Interface.Update(ctx, record)
}
