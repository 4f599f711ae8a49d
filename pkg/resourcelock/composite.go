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
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	rl "k8s.io/client-go/tools/leaderelection/resourcelock"

	"github.com/mongolock/operator/pkg/mongolock"
)

// Composite is a [Lock] and another lock, such as a Lease object, of which an elector has to hold both. It is for a move from the other
// kind of lock to MongoDB, or back, without a moment of two leaders: roll out first replicas that hold both, and when none is left that
// holds the old lock alone, replicas that hold the new one alone. At each step any two replicas share a lock. Never go from one lock to the
// other directly.
//
// It is as safe as the lock that two replicas share, and as slow as the slower one; a renewal renews both. Unlike client-go's MultiLock it
// gives back what is not enough, and touches no record that is not its own. The term is that of the Lock, with all that this offers, such as
// [Lock.Lost] and [Lock.Run]; it is also lost when the other lock turns out to be somebody else's, or was not renewed until a margin before
// its end. It does not poll long, as the elector has to see the other lock, too.
//
// Its methods are for one elector at a time.
type Composite struct {
	*Lock
	other rl.Interface
	there *rl.LeaderElectionRecord // what the other lock had when it was last read or written; nil: no record
	sent  []sending                // what the other lock may have of us
}

// sending is a record that was sent to the other lock, as its followers tell one from another: by the second.
type sending struct {
	second int64     // of its RenewTime
	at     time.Time // of the first try
}

var _ rl.Interface = (*Composite)(nil)

var (
	errOtherLost = errors.New("the other lock of two is somebody else's, or nobody's")
	errOtherLate = errors.New("the other lock of two was not renewed in time")
)

// NewComposite makes one lock of two. The other one has to keep the RenewTime that it is given, as all of client-go do. It returns an error
// that matches [github.com/mongolock/operator/pkg/mongolock.ErrInvalid] unless both are there, have the same identity, and the other one is
// no Lock.
func NewComposite(lock *Lock, other rl.Interface) (*Composite, error) {
	if lock == nil || other == nil {
		return nil, invalid("a composite needs two locks")
	}
	if lock.Identity() != other.Identity() {
		return nil, invalid("the locks' identities are %q and %q: give both the same, as their records tell by it who leads",
			lock.Identity(), other.Identity())
	}
	if _, ok := other.(*Lock); ok {
		return nil, invalid("the other lock of a composite is one in MongoDB, too: it is for a move from another kind of lock, or to one")
	}
	lock.polls.Store(false)
	return &Composite{Lock: lock, other: other}, nil
}

// Describe names both locks.
func (c *Composite) Describe() string { return c.Lock.Describe() + " and " + c.other.Describe() }

// RecordEvent passes it on to both.
func (c *Composite) RecordEvent(what string) {
	c.Lock.RecordEvent(what)
	c.other.RecordEvent(what)
}

// Get reads both records and returns one of them: the other lock's if somebody else holds that, otherwise the Lock's. apierrors.IsNotFound
// is true of the error when there is neither. The raw form is that of the same record, so that the elector counts the time of one holder.
func (c *Composite) Get(ctx context.Context) (*rl.LeaderElectionRecord, []byte, error) {
	t := c.current()
	lease := t.live()
	ctx, cancel := c.boundBoth(ctx, t, lease)
	defer cancel()
	here, raw, err := c.Lock.Get(ctx)
	if err != nil && !apierrors.IsNotFound(err) {
		return nil, nil, err
	}
	there, rawThere, err := c.other.Get(ctx)
	if err != nil && !apierrors.IsNotFound(err) {
		return nil, nil, c.failed("get the other lock of", err)
	}
	c.see(there)
	if lease != nil {
		if !c.holdsOther() {
			t.fail(errOtherLost)
		}
		if _, err := t.hold(); err != nil {
			return nil, nil, c.failed("get", err)
		}
		return here, raw, nil
	}
	switch {
	case there != nil && there.HolderIdentity != "" && !c.holdsOther():
		return c.theirs(), rawThere, nil
	case here != nil:
		return here, raw, nil
	case there != nil: // free, or ours, of an acquisition that failed half-way
		return c.free(), rawThere, nil
	}
	return nil, nil, apierrors.NewNotFound(resource, c.Describe())
}

// see notes the other lock's record. What was sent before that is overwritten; all of it, if it is not ours.
func (c *Composite) see(there *rl.LeaderElectionRecord) {
	c.there = there
	if c.holdsOther() {
		c.sent = c.sent[c.sending(there):]
	} else {
		c.sent = nil
	}
}

// holdsOther tells whether the other lock has what we wrote. Our name alone may be another process's, too.
func (c *Composite) holdsOther() bool {
	return c.there != nil && c.there.HolderIdentity == c.Identity() && c.sending(c.there) >= 0
}

// sending finds a record in what was sent.
func (c *Composite) sending(record *rl.LeaderElectionRecord) int {
	return slices.IndexFunc(c.sent, func(s sending) bool { return s.second == record.RenewTime.Unix() })
}

// theirs is the other lock's record, which is somebody else's: an elector that reads its own name believes that it leads.
func (c *Composite) theirs() *rl.LeaderElectionRecord {
	record := *c.there
	if record.HolderIdentity == c.Identity() {
		record.HolderIdentity += " (another process)"
	}
	return &record
}

// free is the other lock's record without a holder, as client-go writes it for a release.
func (c *Composite) free() *rl.LeaderElectionRecord {
	record := *c.there
	record.HolderIdentity, record.LeaseDurationSeconds = "", 1
	return &record
}

// Create is Update: one of the two may have a record.
func (c *Composite) Create(ctx context.Context, record rl.LeaderElectionRecord) error {
	return c.Update(ctx, record)
}

// Update acquires both locks, renews both, or releases both; see [Lock.Update].
func (c *Composite) Update(ctx context.Context, record rl.LeaderElectionRecord) error {
	if record.HolderIdentity == "" {
		return c.releaseAfter(ctx, c.giveBack)
	}
	return c.call(ctx, record, func(ctx context.Context, t *term, lease *mongolock.Lease) error {
		ctx, cancel := c.boundBoth(ctx, t, lease)
		defer cancel()
		var err error
		if lease != nil {
			err = c.renewBoth(ctx, lease, record)
		} else {
			err = c.acquireBoth(ctx, t, record)
		}
		if err == nil {
			t.endBy(c.sent[0].at.Add(c.config.LeaseDuration - margin(c.config.LeaseDuration)))
		}
		return err
	})
}

// renewBoth renews the other lock first, so that the Lock does not outlive it.
func (c *Composite) renewBoth(ctx context.Context, lease *mongolock.Lease, record rl.LeaderElectionRecord) error {
	if err := c.take(ctx, record); err != nil {
		return err
	}
	return c.renew(ctx, lease)
}

// acquireBoth acquires the Lock last: with it the term begins. Before, it looks whether the Lock is free: to take the other one and to give
// it back at each try would be noise, and of a process with the same identity, which holds both, it would even succeed.
func (c *Composite) acquireBoth(ctx context.Context, t *term, record rl.LeaderElectionRecord) error {
	state, err := c.client.Get(ctx, c.id)
	if err != nil {
		return c.failed("acquire", err)
	}
	if state.Held() {
		return apierrors.NewConflict(resource, c.id, fmt.Errorf("%w by %q", mongolock.ErrHeld, state.Holders[0].Owner))
	}
	if err := c.take(ctx, record); err != nil {
		return err
	}
	if err := c.acquire(ctx, t); err != nil {
		clean, cancel := context.WithTimeout(context.WithoutCancel(ctx), c.config.RequestTimeout)
		defer cancel()
		return errors.Join(err, c.giveBack(clean))
	}
	return nil
}

// take acquires or renews the other lock. Its followers count from when they see the record change, which is not before the first try to
// send it, whatever became of that.
func (c *Composite) take(ctx context.Context, record rl.LeaderElectionRecord) error {
	if c.sending(&record) < 0 {
		c.sent = append(c.sent, sending{record.RenewTime.Unix(), time.Now()})
	}
	ask := c.other.Update
	if c.there == nil {
		ask = c.other.Create
	}
	if err := ask(ctx, record); err != nil {
		return fmt.Errorf("resourcelock: the other lock of %s: %w", c.id, err)
	}
	c.see(&record)
	return nil
}

// giveBack releases the other lock, if we hold it.
func (c *Composite) giveBack(ctx context.Context) error {
	if !c.holdsOther() {
		return nil
	}
	free := c.free()
	free.AcquireTime, free.RenewTime = metav1.Now(), metav1.Now()
	if err := c.other.Update(ctx, *free); err != nil {
		return fmt.Errorf("resourcelock: release the other lock of %s: %w", c.id, err)
	}
	c.there = free
	return nil
}

// boundBoth is bound, and while we lead also ends when the other lock does.
func (c *Composite) boundBoth(ctx context.Context, t *term, lease *mongolock.Lease) (context.Context, context.CancelFunc) {
	ctx, cancel := c.bound(ctx, lease)
	until := t.now().until
	if lease == nil || until.IsZero() {
		return ctx, cancel
	}
	ctx, cancelBoth := context.WithDeadline(ctx, until)
	return ctx, func() { cancelBoth(); cancel() }
}
