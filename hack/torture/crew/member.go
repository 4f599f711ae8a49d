//go:build linux

/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package crew

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/mongolock/operator/hack/child"
	"github.com/mongolock/operator/hack/faultproxy"
	"github.com/mongolock/operator/hack/torture/history"
)

// Flag is the flag with which the rig's program is a worker; its value are the orders.
const Flag = "worker"

// Member is a worker, over all its lives.
type Member struct {
	Worker           int
	Proxy, FeedProxy *faultproxy.Proxy

	config Config
	files  []string
	past   atomic.Int64 // operations of earlier lives

	mu          sync.Mutex
	process     *process // nil before the first start
	incarnation int
}

// process is one life.
type process struct {
	*child.Process
	input  io.WriteCloser
	ready  chan struct{} // closed when it works
	killed atomic.Bool
	record history.Process
	count  atomic.Int64
}

// Start starts the worker, again if it was killed, and waits until it works.
func (m *Member) Start(ctx context.Context) error {
	p, err := m.start()
	if err != nil {
		return err
	}
	select {
	case <-p.ready:
		return nil
	case <-p.Gone():
		if p.killed.Load() {
			return nil
		}
		return fmt.Errorf("it ended at its start: %w", p.Err())
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (m *Member) start() (*process, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.incarnation++
	orders := m.config.Orders(m.Worker)
	orders.Worker, orders.Incarnation, orders.URI = m.Worker, m.incarnation, m.Proxy.URI()
	if m.FeedProxy != nil {
		orders.FeedURI = m.FeedProxy.URI()
	}
	orders.History = filepath.Join(m.config.Folder, fmt.Sprintf("worker-%d.%d.jsonl", m.Worker, m.incarnation))
	text, err := json.Marshal(orders)
	if err != nil {
		return nil, err
	}
	p := &process{ready: make(chan struct{})}
	p.record = history.Process{Worker: m.Worker, Incarnation: m.incarnation, Started: history.Now()}
	cmd := exec.Command("/proc/self/exe", "-"+Flag, string(text))
	cmd.Stdout, cmd.Stderr = &child.Lines{Take: p.hear}, os.Stderr
	if p.input, err = cmd.StdinPipe(); err != nil {
		return nil, err
	}
	if p.Process, err = child.Start(cmd); err != nil {
		return nil, err
	}
	m.files = append(m.files, orders.History)
	m.process = p
	return p, nil
}

// hear takes a line that the process reports.
func (p *process) hear(line string) {
	if line == "ready" {
		close(p.ready)
	} else if n, err := strconv.ParseInt(line, 10, 64); err == nil {
		p.count.Store(n)
	}
}

// Kill kills the worker with SIGKILL, and says false when it did not live.
func (m *Member) Kill() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	p := m.process
	if p == nil || p.killed.Load() || !p.Alive() {
		return false
	}
	p.killed.Store(true)
	p.record.Killed = history.Now()
	p.Kill()
	m.past.Add(p.count.Load())
	m.config.History.Write(history.Record{Process: &p.record})
	return true
}

// Pause stops the worker with SIGSTOP. The returned function lets it go on. It says false when the worker does not live.
func (m *Member) Pause() (resume func(), ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	p := m.process
	if p == nil || !p.Alive() {
		return nil, false
	}
	p.Signal(syscall.SIGSTOP)
	return func() { p.Signal(syscall.SIGCONT) }, true
}

func (m *Member) operations() int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.process == nil || m.process.killed.Load() {
		return m.past.Load()
	}
	return m.past.Load() + m.process.count.Load()
}

func (m *Member) rest() {
	m.mu.Lock()
	defer m.mu.Unlock()
	_, _ = io.WriteString(m.process.input, "rest\n") // one that has ended is found by stop
}

// stop ends the worker, and is an error unless it ended in order.
func (m *Member) stop(ctx context.Context) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	p := m.process
	_ = p.input.Close()
	select {
	case <-p.Gone():
	case <-ctx.Done():
		return errors.New("it does not end")
	}
	if p.killed.Load() {
		return nil
	}
	m.config.History.Write(history.Record{Process: &p.record})
	return p.Err()
}
