//go:build linux

/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"sync"
	"time"

	"go.mongodb.org/mongo-driver/v2/event"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/mongolock/operator/hack/bench/gauge"
	"github.com/mongolock/operator/hack/task"
	"github.com/mongolock/operator/pkg/mongolock"
)

// fillers is how many goroutines acquire the leases.
const fillers = 16

// holding is what the process of the leases is told, on its standard input: a command line would show the connection string.
type holding struct {
	URI      string
	Database string
	Leases   int
	Settle   time.Duration
	Window   time.Duration
}

// held is what it has found.
type held struct {
	Fill       time.Duration  // how long acquiring them took
	Window     time.Duration  // of the measurement
	CPU        time.Duration  // used in the window
	Commands   map[string]int // sent in the window
	Heap       int64          // bytes, for all leases
	Resident   int64
	Goroutines int
}

// counter counts the commands that a driver client sends, while it is on.
type counter struct {
	mu     sync.Mutex
	on     bool
	counts map[string]int
}

func (c *counter) monitor() *event.CommandMonitor {
	return &event.CommandMonitor{Started: func(_ context.Context, e *event.CommandStartedEvent) {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.on {
			c.counts[e.CommandName]++
		}
	}}
}

func (c *counter) turn(on bool) map[string]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.on = on
	return c.counts
}

// holdMany is the body of that process: it acquires leases, lets the renewals settle, and measures what holding them costs.
func holdMany(ctx context.Context, in io.Reader, out io.Writer) (err error) {
	var h holding
	if err := json.NewDecoder(in).Decode(&h); err != nil {
		return fmt.Errorf("read what to hold: %w", err)
	}
	count := counter{counts: map[string]int{}}
	driver, err := mongo.Connect(options.Client().ApplyURI(h.URI).SetMonitor(count.monitor()))
	if err != nil {
		return errors.New("the connection string of MongoDB cannot be used: check MONGODB_URI")
	}
	// Left to expire: the parent drops the database, and to release each would take its time.
	client, err := mongolock.New(ctx, driver.Database(h.Database), mongolock.WithLease(heldLease), mongolock.WithoutRelease())
	if err != nil {
		return errors.Join(err, disconnect(ctx, driver))
	}
	c := &lockClient{Client: client, driver: driver}
	defer func() { err = errors.Join(err, c.close(ctx)) }()

	found, leases, err := hold(ctx, c, h, &count)
	if err != nil {
		return err
	}
	for _, lease := range leases {
		if err := lease.Err(); err != nil {
			return fmt.Errorf("a lease was lost, so its renewal cost too little: %w", err)
		}
	}
	return json.NewEncoder(out).Encode(found)
}

func hold(ctx context.Context, c *lockClient, h holding, count *counter) (held, []*mongolock.Lease, error) {
	before, err := occupied()
	if err != nil {
		return held{}, nil, err
	}
	begin := time.Now()
	leases, err := fill(ctx, c, h.Leases)
	if err != nil {
		return held{}, nil, err
	}
	found := held{Fill: time.Since(begin)}
	fmt.Fprintf(os.Stderr, "         %d leases acquired in %.1fs; they settle, and are measured for %s\n",
		h.Leases, found.Fill.Seconds(), h.Window)
	task.Wait(ctx, h.Settle)
	after, err := occupied()
	if err != nil {
		return held{}, nil, err
	}
	found.Heap, found.Resident = after.heap-before.heap, after.resident-before.resident
	found.Goroutines = after.goroutines - before.goroutines

	used, err := gauge.CPUTime()
	if err != nil {
		return held{}, nil, err
	}
	begin = time.Now()
	count.turn(true)
	task.Wait(ctx, h.Window)
	found.Commands, found.Window = count.turn(false), time.Since(begin)
	usedThen, err := gauge.CPUTime()
	found.CPU = usedThen - used
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return found, leases, err
}

func fill(ctx context.Context, c *lockClient, n int) ([]*mongolock.Lease, error) {
	leases, errs := make([]*mongolock.Lease, n), make([]error, fillers)
	var filling sync.WaitGroup
	for f := range fillers {
		filling.Go(func() {
			for i := f; i < n && errs[f] == nil; i += fillers {
				leases[i], errs[f] = c.TryLock(ctx, fmt.Sprintf("held/%d", i))
			}
		})
	}
	filling.Wait()
	return leases, errors.Join(errs...)
}

// occupation is what a process takes of the machine.
type occupation struct {
	heap, resident int64
	goroutines     int
}

func occupied() (occupation, error) {
	debug.FreeOSMemory() // collects garbage, too
	var memory runtime.MemStats
	runtime.ReadMemStats(&memory)
	resident, err := gauge.ResidentBytes()
	return occupation{heap: int64(memory.HeapAlloc), resident: resident, goroutines: runtime.NumGoroutine()}, err
}
