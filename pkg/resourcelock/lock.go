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
	"sync"
	"sync/atomic"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	rl "k8s.io/client-go/tools/leaderelection/resourcelock"
	"sigs.k8s.io/controller-runtime/pkg/manager"

	"github.com/mongolock/operator/pkg/mongolock"
)

// resource is what API errors of this package say they are about.
var resource = schema.GroupResource{Group: "locks.mongolock.dev", Resource: "distributedlocks"}

// Lock is one candidate's access to an election's record. The methods of resourcelock.Interface are for one elector at a time, as
// its documentation says; all others may be called from any goroutine. It has nothing to close: leases end by themselves or with
// the client.
type Lock struct {
	client  *mongolock.Client
	config  Config
	id      string
	options []mongolock.LockOption
	events  publisher
	manager *manager.Options // that this lock was put into, if it was

	seen      atomic.Bool // a record was read or made: Update has something to update
	last      sight       // what Get saw
	polls     atomic.Bool // Get may wait
	ledBefore atomic.Bool // the elector was told of an election
	calls     sync.Mutex  // held over Create and Update, which would otherwise be two acquisitions in one term

	mu   sync.Mutex
	term *term // never nil; replaced by begin
}

var _ rl.Interface = (*Lock)(nil)

// New makes a lock on client, which must outlive it. Nothing is sent. It returns an error that matches [mongolock.ErrInvalid] and
// names the limit when config is out of range.
func New(client *mongolock.Client, config Config) (*Lock, error) {
	if client == nil {
		return nil, invalid("the client is nil")
	}
	if config.RequestTimeout == 0 {
		config.RequestTimeout = max(time.Second, config.LeaseDuration/3)
	}
	if err := config.validate(); err != nil {
		return nil, err
	}
	lock := &Lock{
		client: client,
		config: config,
		id:     config.Namespace + "/" + config.Name,
		options: []mongolock.LockOption{
			mongolock.WithOwner(config.Identity),
			mongolock.WithLease(config.LeaseDuration),
			mongolock.WithMargin(margin(config.LeaseDuration)),
			mongolock.WithAutoRenew(false), // the elector renews, so that leadership ends when the elector is stuck
		},
		events: publisher{recorder: config.EventRecorder},
		term:   newTerm(),
	}
	lock.polls.Store(!config.DisableLongPoll)
	return lock, nil
}

// Identity returns Config.Identity.
func (l *Lock) Identity() string { return l.config.Identity }

// Describe returns "<namespace>/<name>".
func (l *Lock) Describe() string { return l.id }

// Create acquires the lock when there is no record of it: apierrors.IsAlreadyExists is true of the error when there is one, or when
// another candidate was faster. A record without a holder, which client-go's MultiLock may ask for, needs no storing: to be absent
// is to be free. It only ends our term, as in Update.
func (l *Lock) Create(ctx context.Context, record rl.LeaderElectionRecord) error {
	return l.call(ctx, record, func(ctx context.Context, t *term, lease *mongolock.Lease) error {
		if lease != nil {
			// We lead, so there was a record. If it was deleted under us, renewing tells, and the term is over.
			if err := l.renew(ctx, lease); err != nil {
				return err
			}
			return apierrors.NewAlreadyExists(resource, l.id)
		}
		state, err := l.client.Get(ctx, l.id)
		if err != nil {
			return l.failed("create", err)
		}
		l.seen.Store(true)
		if state.Exists {
			return apierrors.NewAlreadyExists(resource, l.id)
		}
		err = l.acquire(ctx, t)
		if apierrors.IsConflict(err) {
			return apierrors.NewAlreadyExists(resource, l.id)
		}
		return err
	})
}

// Update is four requests in one; which one follows from the record's holder and from the lease we hold.
//
//   - No holder: give leadership up, if Config.ReleaseGate allows. nil when there is nothing to give up, because the lease was lost, or the server says so: the
//     elector repeats a conflict at once and without a pause, and another's record is none of our business.
//   - We hold a lease: renew it. If the server no longer has it, or its deadline passed, the answer is a conflict, and the term is
//     over. After any other error we still lead until the deadline, and the next try may succeed.
//   - The term was lost: an error, without asking the server, until the elector has stopped. Otherwise it would go on leading
//     although somebody else may have led in between.
//   - Otherwise: take over, if the server finds the lock free. apierrors.IsConflict is true of the error when it does not, and its
//     text says who holds the lock and for how long.
func (l *Lock) Update(ctx context.Context, record rl.LeaderElectionRecord) error {
	return l.call(ctx, record, func(ctx context.Context, t *term, lease *mongolock.Lease) error {
		if lease != nil {
			return l.renew(ctx, lease)
		}
		if !l.seen.Load() {
			return fmt.Errorf("resourcelock: update %s: call Get or Create first: there may be no record", l.id)
		}
		// The record may name us although we hold no lease: another process has our identity, or an acquisition of ours was carried out
		// unnoticed. The engine resolves that by the acquisition's id, or releases it in the background. We cannot tell which it is, so
		// we stand in line like everybody else, and get a conflict as long as it is held.
		return l.acquire(ctx, t)
	})
}

// call does what Create and Update have in common: a record without a holder is a release; any other call is bounded, one at a time,
// and belongs to a term that has not been lost.
func (l *Lock) call(ctx context.Context, record rl.LeaderElectionRecord, do func(context.Context, *term, *mongolock.Lease) error) error {
	if record.HolderIdentity == "" {
		return l.release(ctx)
	}
	if err := l.check(record); err != nil {
		return err
	}
	l.calls.Lock()
	defer l.calls.Unlock()
	t, lease, err := l.begin()
	if err != nil {
		return err
	}
	ctx, cancel := l.bound(ctx, lease)
	defer cancel()
	return do(ctx, t, lease)
}

// check refuses a record that we cannot stand for.
func (l *Lock) check(record rl.LeaderElectionRecord) error {
	if record.HolderIdentity != l.config.Identity {
		return invalid("the record is for holder %q, but this lock is for %q", record.HolderIdentity, l.config.Identity)
	}
	if lease := time.Duration(record.LeaseDurationSeconds) * time.Second; lease != l.config.LeaseDuration {
		return invalid("the elector's lease duration is %s, but the lock's is %s: give both the same", lease, l.config.LeaseDuration)
	}
	return nil
}

func (l *Lock) acquire(ctx context.Context, t *term) error {
	lease, err := l.client.TryLock(ctx, l.id, l.options...)
	switch {
	case errors.Is(err, mongolock.ErrHeld):
		return apierrors.NewConflict(resource, l.id, err)
	case err != nil:
		return l.failed("acquire", err)
	}
	t.start(ctx, lease)
	return nil
}

func (l *Lock) renew(ctx context.Context, lease *mongolock.Lease) error {
	err := lease.Renew(ctx)
	if err != nil && lease.Err() != nil {
		return apierrors.NewConflict(resource, l.id, lease.Err())
	}
	if err != nil {
		return l.failed("renew", err)
	}
	return nil
}

// release ends the term before it asks the server, so that nobody can be elected before [Lock.Lost] is closed.
func (l *Lock) release(ctx context.Context) error {
	return l.releaseAfter(ctx, func(context.Context) error { return nil })
}

// releaseAfter does something between the end of the term and the release of the lock.
func (l *Lock) releaseAfter(ctx context.Context, first func(context.Context) error) error {
	l.calls.Lock()
	defer l.calls.Unlock()
	t := l.current()
	if !l.releasable(ctx, t) {
		return nil
	}
	ctx, cancel := l.bound(ctx, t.live())
	defer cancel()
	lease := t.giveUp()
	if lease == nil {
		return nil
	}
	err := first(ctx)
	if ctx.Err() != nil { // Unlock takes a time of its own then, and the work would go on for as long
		return l.failed("release", errors.Join(ctx.Err(), err))
	}
	if unlocked := lease.Unlock(ctx); unlocked != nil && !errors.Is(unlocked, mongolock.ErrNotHeld) {
		return l.failed("release", errors.Join(unlocked, err))
	}
	return err
}

// releasable asks the gate. If that is closed, the term drains.
func (l *Lock) releasable(ctx context.Context, t *term) bool {
	lease := t.live()
	if l.config.ReleaseGate == nil || lease == nil || !t.now().led {
		return true // no work has begun
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer t.whenEnded(cancel)()
	if l.config.ReleaseGate(ctx) {
		return true
	}
	t.drain()
	return false
}

// bound limits a call to the request timeout and, while we lead, to the end of the lease: the elector stops the leader's work only
// after its last call has returned.
func (l *Lock) bound(ctx context.Context, lease *mongolock.Lease) (context.Context, context.CancelFunc) {
	deadline := time.Now().Add(l.config.RequestTimeout)
	if lease != nil && lease.Deadline().Before(deadline) {
		deadline = lease.Deadline()
	}
	return context.WithDeadline(ctx, deadline)
}

func (l *Lock) failed(what string, err error) error {
	return fmt.Errorf("resourcelock: %s %s: %w", what, l.id, err)
}
