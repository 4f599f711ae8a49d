//go:build linux

/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mongolock/operator/hack/bench/gauge"
	"github.com/mongolock/operator/hack/task"
	"github.com/mongolock/operator/pkg/mongolock"
)

const (
	// fillers is how many locks a client acquires at a time.
	fillers = 16
	// inFlight bounds the transitions that a client makes at a time: more than that is no load but a jam.
	inFlight = 64
)

// orders are what a client is told first, on its standard input: a command line would show the connection string.
type orders struct {
	URI, Database, Owner string
	Seed                 uint64
}

// holder is the body of a client process, which holds locks and renews them. Its further orders come line by line, and each is answered
// with a line:
//
//	hold FROM TO     acquire these locks: "ok"
//	churn RATE MS    release and acquire: a line "t LOCK POSITION TIME" for each transition, then "ok SKIPPED FAILED"
//	whole            acquire what is free: "ok"
//	count            "ok RENEWALS LOST", since the start
//
// or "error" and why.
type holder struct {
	client   *mongolock.Client
	random   *rand.Rand
	renewals atomic.Int64
	lost     atomic.Int64

	writing sync.Mutex
	out     io.Writer

	mu     sync.Mutex
	leases map[int]*mongolock.Lease
	held   []int // locks that nothing is being done to
	free   []int
}

// told is what the engine tells a holder.
type told struct {
	mongolock.NopMetrics
	*holder
}

// Renewed implements [mongolock.Metrics].
func (t told) Renewed(leases int, _ time.Duration, failed bool) {
	if !failed {
		t.renewals.Add(int64(leases))
	}
}

// Held implements [mongolock.Metrics].
func (t told) Held(_ string, _ time.Duration, lost bool) {
	if lost {
		t.lost.Add(1)
	}
}

// holdLocks is the client process: it lives until its input or ctx ends. Its leases are left to expire: to release each would take its time.
func holdLocks(ctx context.Context, in io.Reader, out io.Writer) error {
	lines := bufio.NewScanner(in)
	var o orders
	if !lines.Scan() {
		return errors.New("no orders")
	}
	if err := json.Unmarshal(lines.Bytes(), &o); err != nil {
		return fmt.Errorf("orders: %w", err)
	}
	h := &holder{out: out, leases: map[int]*mongolock.Lease{}, random: rand.New(rand.NewPCG(o.Seed, 0))}
	var err error
	h.client, err = mongolock.Connect(ctx, o.URI, mongolock.WithDatabase(o.Database), mongolock.WithLease(lease), mongolock.WithOwner(o.Owner),
		mongolock.WithMetrics(told{holder: h}), mongolock.WithoutRelease())
	if err != nil {
		return err
	}
	for lines.Scan() && ctx.Err() == nil {
		if answer, err := h.obey(ctx, lines.Text()); err != nil {
			h.say("error %v", err)
		} else {
			h.say("ok %s", answer)
		}
	}
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	return h.client.Close(closing)
}

func (h *holder) say(format string, args ...any) {
	h.writing.Lock()
	defer h.writing.Unlock()
	fmt.Fprintf(h.out, format+"\n", args...)
}

func (h *holder) obey(ctx context.Context, line string) (answer string, err error) {
	var what string
	var x, y int
	_, _ = fmt.Sscan(line, &what, &x, &y) // not all have numbers
	switch what {
	case "hold":
		for i := x; i < y; i++ {
			h.free = append(h.free, i)
		}
		return "", h.fill(ctx)
	case "whole":
		return "", h.fill(ctx)
	case "churn":
		skipped, failed := h.churn(ctx, x, time.Duration(y)*time.Millisecond)
		return fmt.Sprint(skipped, " ", failed), ctx.Err()
	case "count":
		return fmt.Sprint(h.renewals.Load(), " ", h.lost.Load()), nil
	}
	return "", fmt.Errorf("unknown order %q", line)
}

// fill acquires all locks that are free.
func (h *holder) fill(ctx context.Context) error {
	errs := make([]error, fillers)
	var filling sync.WaitGroup
	for f := range fillers {
		filling.Go(func() {
			for errs[f] == nil {
				i, ok := h.takeFree()
				if !ok {
					return
				}
				_, errs[f] = h.acquire(ctx, i)
			}
		})
	}
	filling.Wait()
	return errors.Join(errs...)
}

func (h *holder) takeFree() (int, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return takeRandom(&h.free, h.random)
}

func takeRandom(from *[]int, random *rand.Rand) (int, bool) {
	n := len(*from)
	if n == 0 {
		return 0, false
	}
	at := random.IntN(n)
	i := (*from)[at]
	(*from)[at] = (*from)[n-1]
	*from = (*from)[:n-1]
	return i, true
}

func (h *holder) acquire(ctx context.Context, i int) (token int64, err error) {
	l, err := h.client.TryLock(ctx, lockID(i))
	h.mu.Lock()
	defer h.mu.Unlock()
	if err != nil {
		h.free = append(h.free, i)
		return 0, err
	}
	h.leases[i], h.held = l, append(h.held, i)
	return l.Token(), nil
}

// release gives a lock back. One whose release failed is not used again: nobody knows its state.
func (h *holder) release(ctx context.Context, i int) (token int64, err error) {
	h.mu.Lock()
	l := h.leases[i]
	h.mu.Unlock()
	if err := l.Unlock(ctx); err != nil {
		return 0, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.leases, i)
	h.free = append(h.free, i)
	return l.Token(), nil
}

// churn makes transitions at a pace that does not wait for the last one's end, of random locks. About two seconds' worth of locks are free at
// a time, so that the number of held ones stays about the same.
func (h *holder) churn(ctx context.Context, rate int, d time.Duration) (skipped, failed int64) {
	var making sync.WaitGroup
	var failures atomic.Int64
	places := make(chan struct{}, inFlight)
	begin := time.Now()
	for n := 0; ; n++ {
		due := time.Duration(n) * time.Second / time.Duration(rate)
		if due >= d || ctx.Err() != nil {
			break
		}
		task.Wait(ctx, time.Until(begin.Add(due)))
		select {
		case places <- struct{}{}:
			making.Go(func() {
				defer func() { <-places }()
				if err := h.change(ctx, 2*rate); err != nil {
					failures.Add(1)
				}
			})
		default:
			skipped++
		}
	}
	making.Wait()
	return skipped, failures.Load()
}

// change makes one transition and tells of it.
func (h *holder) change(ctx context.Context, mostFree int) error {
	h.mu.Lock()
	mostFree = min(mostFree, (len(h.held)+len(h.free)+1)/2)
	from, operation := &h.held, h.release
	toAcquire := len(h.free) > 0 && (len(h.free) >= mostFree || h.random.IntN(2) == 0)
	if toAcquire {
		from, operation = &h.free, h.acquire
	}
	i, ok := takeRandom(from, h.random)
	h.mu.Unlock()
	if !ok {
		return errors.New("no lock is left")
	}
	token, err := operation(ctx, i)
	at := gauge.Now()
	if err == nil {
		h.say("t %d %d %d", i, positionOf(token, toAcquire), at)
	}
	return err
}
