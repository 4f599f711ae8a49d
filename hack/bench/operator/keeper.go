//go:build linux

/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package main

import (
	"context"
	"os"
	"sync"
	"time"

	"github.com/mongolock/operator/hack/bench/gauge"
	"github.com/mongolock/operator/hack/task"
)

const (
	// firstBackOff is about how long the kubelet takes to start a container again that has ended for the first time; nextBackOff is that of
	// the second time, which doubles.
	firstBackOff = time.Second
	nextBackOff  = 10 * time.Second
	sampleEvery  = 500 * time.Millisecond
)

// keeper keeps one operator running, as the kubelet does.
type keeper struct {
	stack *stack
	flags []string
	log   *os.File

	mu   sync.Mutex
	now  *process // nil: none was started
	peak float64  // MiB, of all processes since fresh
}

// start starts an operator.
func (k *keeper) start() error {
	p, err := k.stack.startOperator(k.flags, k.log)
	if err != nil {
		return err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.now = p
	return nil
}

func (k *keeper) process() *process {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.now
}

// stop ends the operator, if there is one.
func (k *keeper) stop() (took time.Duration, err error) {
	p := k.process()
	if p == nil {
		return 0, nil
	}
	k.sample()
	took, err = p.stop()
	k.mu.Lock()
	defer k.mu.Unlock()
	k.now = nil
	return took, err
}

// kill ends it at once.
func (k *keeper) kill() {
	if p := k.process(); p != nil {
		p.Kill()
	}
}

// sample takes in how much memory the operator has occupied, and returns the most so far.
func (k *keeper) sample() float64 {
	p := k.process()
	k.mu.Lock()
	defer k.mu.Unlock()
	if p != nil {
		k.peak = max(k.peak, p.peakMiB())
	}
	return k.peak
}

// fresh forgets the memory that earlier operators have occupied.
func (k *keeper) fresh() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.peak = 0
}

// supervise starts the operator anew when it ends, until ctx ends, and returns when it ended.
func (k *keeper) supervise(ctx context.Context) (ends []int64, err error) {
	ticker := time.NewTicker(sampleEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return ends, nil
		case <-ticker.C:
			k.sample()
		case <-k.process().Gone():
			ends = append(ends, gauge.Now())
			if task.Wait(ctx, backOff(len(ends)-1)); ctx.Err() != nil {
				return ends, nil
			}
			if err := k.start(); err != nil {
				return ends, err
			}
		}
	}
}

// backOff is the pause before the next start, after so many.
func backOff(restarts int) time.Duration {
	if restarts == 0 {
		return firstBackOff
	}
	return min(nextBackOff<<(restarts-1), 5*time.Minute)
}
