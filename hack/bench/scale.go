//go:build linux

/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/mongolock/operator/hack/task"
)

const (
	// scaleWarmUp is how many grants pass before those that count: until then not all clients have got in line.
	scaleWarmUp = 10
	// scalePool is how many connections each of many clients may have.
	scalePool = 4
)

// crowd is some clients that take turns with one lock.
type crowd struct {
	name    string
	id      string
	clients []*lockClient
	grants  int
	passed  int // of these to a client that came later than the release
}

// measureScale compares the hand-off with many waiting clients to that with one.
func (b *bench) measureScale(ctx context.Context) error {
	b.screen.Say("Scale: hand-off of one lock with %d waiting clients, and with one; connecting them", b.plan.waiters)
	few, err := b.newCrowd(ctx, 1)
	if err != nil {
		return err
	}
	many, err := b.newCrowd(ctx, b.plan.waiters)
	if err != nil {
		return err
	}
	crowds := []*crowd{few, many}
	for _, c := range crowds {
		b.scale.add(c.name, nil)
	}
	for n := range b.plan.scaleRounds {
		for _, i := range b.random.Perm(len(crowds)) {
			if err := b.scaleRound(ctx, n, crowds[i]); err != nil {
				return err
			}
		}
	}
	b.manyName, b.fewName = many.name, few.name
	b.overtaken = map[string]int{few.name: few.passed, many.name: many.passed}
	return nil
}

func (b *bench) scaleRound(ctx context.Context, n int, c *crowd) error {
	defer b.screen.During(ctx, "handing over with "+c.name)()
	var took samples
	before := c.grants
	busy, err := b.loadOf(func() (err error) {
		took, err = c.handOver(ctx, b.plan, b.random.Uint64())
		return err
	})
	if err != nil {
		return fmt.Errorf("%s: %w", c.name, err)
	}
	b.scale.add(c.name, took)
	b.screen.Say("  round %d of %d, %s: %d grants, %d samples, p50 %.1f ms, p99 %.1f ms, %s",
		n+1, b.plan.scaleRounds, c.name, c.grants-before, len(took), took.P50(), took.P99(), busy)
	return nil
}

// newCrowd connects clients, one of which will hold the lock.
func (b *bench) newCrowd(ctx context.Context, waiters int) (*crowd, error) {
	c := &crowd{name: fmt.Sprintf("%d waiting", waiters), id: fmt.Sprintf("scale/%d", waiters)}
	defer b.screen.During(ctx, "connecting clients")()
	for range waiters + 1 {
		client, err := newLockClient(ctx, b.uri, b.database, scalePool)
		if err != nil {
			return nil, err
		}
		b.onStop(func() error { return client.close(ctx) })
		c.clients = append(c.clients, client)
	}
	return c, nil
}

// handOver lets all clients take turns until there are enough samples, or for the limit of a round.
func (c *crowd) handOver(ctx context.Context, p plan, seed uint64) (samples, error) {
	turns, end := context.WithTimeout(ctx, p.scaleLimit)
	defer end()
	t := &turnstile{want: p.scaleBlock, end: end}
	errs := make([]error, len(c.clients))
	var taking sync.WaitGroup
	for i, client := range c.clients {
		random := rand.New(rand.NewPCG(seed, uint64(i)))
		taking.Go(func() {
			for turns.Err() == nil && errs[i] == nil {
				hold := p.grantMin + time.Duration(random.Int64N(int64(p.grantMax-p.grantMin)))
				errs[i] = t.take(turns, client, c.id, hold)
			}
			if errs[i] != nil {
				end()
			}
		})
	}
	taking.Wait()
	c.grants, c.passed = c.grants+t.grants, c.passed+t.passed
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	return t.took, errors.Join(errs...)
}

// turnstile sees who passes the lock on and who gets it.
type turnstile struct {
	want int
	end  func()

	mu       sync.Mutex
	grants   int
	released time.Time // when the last release began
	took     samples
	passed   int
}

// take is one turn of a client. That the turns end is no error.
func (t *turnstile) take(ctx context.Context, c *lockClient, id string, hold time.Duration) error {
	asked := time.Now()
	lease, err := c.Lock(ctx, id)
	got := time.Now()
	if err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	t.entered(asked, got)
	task.Wait(ctx, hold)
	t.mu.Lock()
	t.released = time.Now()
	t.mu.Unlock()
	return lease.Unlock(ctx)
}

// entered counts a grant. It is a sample only if the client waited when the release began: a lock that does not queue may also go to
// one that comes later, and that one did not wait.
func (t *turnstile) entered(asked, got time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.grants++
	switch {
	case t.grants <= scaleWarmUp || len(t.took) >= t.want:
	case asked.After(t.released):
		t.passed++
	default:
		t.took = append(t.took, got.Sub(t.released))
	}
	if len(t.took) >= t.want {
		t.end()
	}
}
