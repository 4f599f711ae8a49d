//go:build linux

/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package crew

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"

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
	cmd    *exec.Cmd
	input  io.WriteCloser
	ready  chan struct{} // closed when it works
	gone   chan struct{} // closed when it has ended
	killed atomic.Bool
	record history.Process
	count  atomic.Int64
	end    error // set before gone is closed
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
	case <-p.gone:
		if p.killed.Load() {
			return nil
		}
		return fmt.Errorf("it ended at its start: %w", p.end)
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
	p := &process{ready: make(chan struct{}), gone: make(chan struct{})}
	p.record = history.Process{Worker: m.Worker, Incarnation: m.incarnation, Started: history.Now()}
	p.cmd = exec.Command("/proc/self/exe", "-"+Flag, string(text))
	// A group of its own, so that the terminal's Ctrl-C reaches the rig only; and it dies with the rig, however that dies.
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	p.cmd.Stderr = os.Stderr
	if p.input, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	output, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	started := make(chan error)
	go p.run(output, started) // ends with the process
	if err := <-started; err != nil {
		return nil, err
	}
	m.files = append(m.files, orders.History)
	m.process = p
	return p, nil
}

// run starts the process, reads what it reports and waits for its end.
func (p *process) run(output io.Reader, started chan<- error) {
	// Linux delivers Pdeathsig when the thread that started the process ends, so that thread must live as long.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	err := p.cmd.Start()
	started <- err
	if err != nil {
		return
	}
	for lines := bufio.NewScanner(output); lines.Scan(); {
		if lines.Text() == "ready" {
			close(p.ready)
		} else if n, err := strconv.ParseInt(lines.Text(), 10, 64); err == nil {
			p.count.Store(n)
		}
	}
	p.end = p.cmd.Wait()
	close(p.gone)
}

// Kill kills the worker with SIGKILL, and says false when it did not live.
func (m *Member) Kill() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	p := m.process
	if p == nil || p.killed.Load() || p.ended() {
		return false
	}
	p.killed.Store(true)
	p.record.Killed = history.Now()
	_ = p.cmd.Process.Kill() // it may have ended meanwhile
	<-p.gone
	m.past.Add(p.count.Load())
	m.config.History.Write(history.Record{Process: &p.record})
	return true
}

// Pause stops the worker with SIGSTOP. The returned function lets it go on. It says false when the worker does not live.
func (m *Member) Pause() (resume func(), ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	p := m.process
	if p == nil || p.ended() || p.cmd.Process.Signal(syscall.SIGSTOP) != nil {
		return nil, false
	}
	return func() { _ = p.cmd.Process.Signal(syscall.SIGCONT) }, true // it may have been killed meanwhile
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
	case <-p.gone:
	case <-ctx.Done():
		return errors.New("it does not end")
	}
	if p.killed.Load() {
		return nil
	}
	m.config.History.Write(history.Record{Process: &p.record})
	return p.end
}

func (p *process) ended() bool {
	select {
	case <-p.gone:
		return true
	default:
		return false
	}
}
