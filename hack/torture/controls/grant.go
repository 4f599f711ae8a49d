//go:build linux

/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package controls

import (
	"context"
	"fmt"
	"sync"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/mongolock/operator/hack/torture/locker"
	"github.com/mongolock/operator/pkg/mongolock"
)

// grant is a control's lock that is held. It renews itself until it is unlocked or lost.
type grant struct {
	control *Control
	lock    string
	a       locker.Acquisition
	token   int64
	stop    context.CancelFunc
	renewer sync.WaitGroup

	mu       sync.Mutex
	deadline time.Time
	err      error
	done     chan struct{}
}

func newGrant(ctx context.Context, c *Control, lock string, a locker.Acquisition, token int64, sent time.Time) *grant {
	ctx, stop := context.WithCancel(context.WithoutCancel(ctx)) // ends with Unlock, which a session never leaves out
	g := &grant{control: c, lock: lock, a: a, token: token, stop: stop, done: make(chan struct{})}
	g.deadline = sent.Add(a.Lease - a.Margin())
	g.renewer.Go(func() { g.keep(ctx) })
	return g
}

func (g *grant) Token() int64 { return g.token }

func (g *grant) Done() <-chan struct{} { return g.done }

// Deadline is when the lease ends, but for a holder that believes until a renewal fails: it has none.
func (g *grant) Deadline() time.Time {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.control.bug == BlindRenewal && g.err == nil {
		return time.Now().Add(g.a.Lease)
	}
	return g.deadline
}

func (g *grant) Err() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.err == nil && g.control.bug != BlindRenewal && !time.Now().Before(g.deadline) {
		g.end(mongolock.ErrLeaseLost)
	}
	return g.err
}

// end ends the grant locally; g.mu is held.
func (g *grant) end(err error) {
	if g.err == nil {
		g.err = err
		close(g.done)
	}
}

// keep renews each third of the lease, and looks at the deadline more often.
func (g *grant) keep(ctx context.Context) {
	tick := time.NewTicker(g.a.Lease / 12)
	defer tick.Stop()
	for n := 1; g.Err() == nil; n++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if n%4 == 0 && !g.a.NoRenew {
			_ = g.Renew(ctx) // the next may work, and the deadline is looked at
		}
	}
}

func (g *grant) Renew(ctx context.Context) error {
	if err := g.Err(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	filter := bson.D{{Key: "_id", Value: g.lock}}
	if g.control.bug != BlindRenewal {
		filter = append(filter, bson.E{Key: "owner", Value: g.a.Owner})
	}
	sent := time.Now()
	until := bson.D{{Key: "$add", Value: bson.A{g.control.now(), g.a.Lease.Milliseconds()}}}
	result, err := g.control.locks.UpdateOne(ctx, filter, mongo.Pipeline{{{Key: "$set", Value: bson.D{
		{Key: "owner", Value: bson.D{{Key: "$literal", Value: g.a.Owner}}}, {Key: "until", Value: until},
	}}}})
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case err != nil:
		return fmt.Errorf("%w: %w", mongolock.ErrUnreachable, err)
	case result.MatchedCount == 0:
		g.end(mongolock.ErrLeaseLost)
		return g.err
	case g.err == nil:
		g.deadline = sent.Add(g.a.Lease - g.a.Margin())
	}
	return g.err
}

func (g *grant) Unlock(ctx context.Context) error {
	g.stop()
	g.renewer.Wait()
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	g.mu.Lock()
	g.end(mongolock.ErrNotHeld)
	g.mu.Unlock()
	filter := bson.D{{Key: "_id", Value: g.lock}}
	if g.control.bug != OwnerlessRelease {
		filter = append(filter, bson.E{Key: "owner", Value: g.a.Owner})
	}
	result, err := g.control.locks.UpdateOne(ctx, filter, bson.D{{Key: "$set", Value: bson.D{
		{Key: "owner", Value: ""}, {Key: "until", Value: time.UnixMilli(0)},
	}}})
	switch {
	case err != nil:
		return fmt.Errorf("%w: %w", mongolock.ErrOutcomeUnknown, err)
	case result.MatchedCount == 0:
		return mongolock.ErrNotHeld
	}
	return nil
}
