/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package mongolock

import (
	"container/heap"
	"context"
	"slices"
	"sync"
	"time"
)

const (
	// renewBatch is how many leases one command renews at most.
	renewBatch = 500
	// suspensionCheck is how often a suspension of the machine is looked for while leases are held.
	suspensionCheck = time.Second
)

// renewer renews the leases of a client, all that fall due together in one command. It has one goroutine, which never waits for the
// server: each command has its own, so that a hanging one delays nobody else's renewal.
type renewer struct {
	client *Client
	wake   chan struct{}

	mu      sync.Mutex
	queue   leaseQueue
	wakesAt time.Duration // when the goroutine looks by itself
}

func newRenewer(c *Client) *renewer {
	return &renewer{client: c, wake: make(chan struct{}, 1)}
}

// schedule puts a lease in line for renewal; one that is being renewed is not in line.
func (r *renewer) schedule(l *Lease, due time.Duration) {
	r.mu.Lock()
	if l.index < 0 {
		l.due = due
		heap.Push(&r.queue, l)
	}
	r.mu.Unlock()
	r.wakeBy(due)
}

// wakeBy makes the goroutine look at that time at the latest. To wake it for each lease would cost more than all else about the lease.
func (r *renewer) wakeBy(due time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if due < r.wakesAt {
		r.wakesAt = due
		r.nudge()
	}
}

func (r *renewer) remove(l *Lease) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if l.index >= 0 {
		heap.Remove(&r.queue, l.index)
	}
}

// nudge makes the goroutine look again.
func (r *renewer) nudge() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// run renews until ctx is done.
func (r *renewer) run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	suspended := newSuspensionDetector(r.client.now)
	for {
		if suspended() {
			r.client.expireDue()
		}
		for _, batch := range batches(r.takeDue()) {
			r.client.tasks.Go(func() { r.renew(ctx, batch) })
		}
		timer.Reset(r.sleep())
		select {
		case <-ctx.Done():
			return
		case <-r.wake:
		case <-timer.C:
		}
	}
}

// batches divides leases among commands. Two leases of one lock, which is shared then, do not go into one: the server counts the
// documents that it changed, and the count would not tell whether it was for both.
func batches(leases []*Lease) [][]*Lease {
	var rounds [][]*Lease
	seen := map[string]int{}
	for _, l := range leases {
		round := seen[l.ref.lock]
		seen[l.ref.lock]++
		if round == len(rounds) {
			rounds = append(rounds, nil)
		}
		rounds[round] = append(rounds[round], l)
	}
	var all [][]*Lease
	for _, round := range rounds {
		all = slices.AppendSeq(all, slices.Chunk(round, renewBatch))
	}
	return all
}

// takeDue takes out the leases that are due, and those that soon will be, so that they share a command from then on.
func (r *renewer) takeDue() []*Lease {
	now := r.client.now()
	r.mu.Lock()
	defer r.mu.Unlock()
	var due []*Lease
	for len(r.queue) > 0 && r.queue[0].due-r.queue[0].lease/12 <= now {
		if len(due) == 0 && r.queue[0].due > now {
			break
		}
		due = append(due, heap.Pop(&r.queue).(*Lease))
	}
	return due
}

// sleep is the time until the next lease is due. While any lease is held it is short enough to notice a suspension.
func (r *renewer) sleep() time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	idle := 24 * time.Hour
	if r.client.holdsAny() { // asked under the mutex, so that who comes later finds the new wakesAt
		idle = suspensionCheck
	}
	now := r.client.now()
	if len(r.queue) > 0 {
		idle = min(idle, max(0, r.queue[0].due-now))
	}
	r.wakesAt = now + idle
	return idle
}

// renew sends one batch and puts what is still held back in line.
func (r *renewer) renew(ctx context.Context, batch []*Lease) {
	batch = slices.DeleteFunc(batch, func(l *Lease) bool { return l.Err() != nil })
	if len(batch) == 0 {
		return
	}
	sent := r.client.now()
	fates, err := r.client.renewAttempt(ctx, batch)
	if err != nil && ctx.Err() == nil {
		r.client.log.Info("Lease renewal failed, trying again", "leases", len(batch), "reason", err.Error())
	}
	for i, l := range batch {
		f := fateUnsure
		if err == nil {
			f = fates[i]
		}
		l.settle(f, sent)
		if l.Err() != nil {
			continue
		}
		if f == fateRenewed {
			r.schedule(l, l.nextRenewal(sent))
		} else {
			r.schedule(l, r.client.now()+jitter(l.retryDelay()))
		}
	}
}

// renewAttempt sends one renewal, bounded so that several more fit before the first deadline.
func (c *Client) renewAttempt(ctx context.Context, batch []*Lease) ([]fate, error) {
	grants := make([]grant, len(batch))
	bound := maxAttempt
	for i, l := range batch {
		grants[i] = grant{grantRef: l.ref, token: l.token}
		bound = min(bound, attemptTimeout(l.lease))
	}
	ctx, cancel := context.WithTimeout(ctx, bound)
	defer cancel()
	began := c.now()
	fates, err := c.store.renew(ctx, grants)
	c.settings.metrics.Renewed(len(grants), c.now()-began, err != nil)
	return fates, err
}

// newSuspensionDetector returns a function that tells whether the machine was suspended since its last call: then the boot clock has
// gone on while the monotonic one, which all timers follow, stood still.
func newSuspensionDetector(now func() time.Duration) func() bool {
	boot, mono := now(), time.Now()
	return func() bool {
		if now()-boot-time.Since(mono) < 100*time.Millisecond {
			return false
		}
		boot, mono = now(), time.Now()
		return true
	}
}

// leaseQueue is a heap of leases by due time.
type leaseQueue []*Lease

func (q leaseQueue) Len() int           { return len(q) }
func (q leaseQueue) Less(i, j int) bool { return q[i].due < q[j].due }
func (q leaseQueue) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].index, q[j].index = i, j
}

// Push is for container/heap.
func (q *leaseQueue) Push(x any) {
	l := x.(*Lease)
	l.index = len(*q)
	*q = append(*q, l)
}

// Pop is for container/heap.
func (q *leaseQueue) Pop() any {
	old := *q
	last := old[len(old)-1]
	*q = old[:len(old)-1]
	last.index = -1
	return last
}
