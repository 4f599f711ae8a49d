//go:build linux

/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

// Package child runs processes that die with the tool that started them, however that dies.
package child

import (
	"bytes"
	"os/exec"
	"runtime"
	"syscall"
)

// Process is a running child.
type Process struct {
	Cmd *exec.Cmd

	gone chan struct{}
	err  error
}

// Start starts a child. It gets a process group of its own, so that the terminal's Ctrl-C reaches the tool only, which ends its children in
// order.
func Start(cmd *exec.Cmd) (*Process, error) {
	p := &Process{Cmd: cmd, gone: make(chan struct{})}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	started := make(chan error)
	go func() { // ends with the process
		// Linux delivers Pdeathsig when the thread that started the process ends, so that thread must live as long.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			p.err = cmd.Wait()
			close(p.gone)
		}
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	return p, nil
}

// Gone is closed when the process has ended and all its output was read.
func (p *Process) Gone() <-chan struct{} { return p.gone }

// Err is how it ended; nil before it has, and if it ended with 0.
func (p *Process) Err() error {
	if p.Alive() {
		return nil
	}
	return p.err
}

// Alive tells whether it has not ended yet.
func (p *Process) Alive() bool {
	select {
	case <-p.gone:
		return false
	default:
		return true
	}
}

// Signal sends a signal, if it lives.
func (p *Process) Signal(s syscall.Signal) { _ = p.Cmd.Process.Signal(s) }

// Kill kills it and waits for its end.
func (p *Process) Kill() {
	p.Signal(syscall.SIGKILL)
	<-p.gone
}

// Lines is an output that hands on whole lines.
type Lines struct {
	Take func(line string)
	rest []byte
}

// Write implements [io.Writer].
func (l *Lines) Write(p []byte) (int, error) {
	l.rest = append(l.rest, p...)
	for {
		line, rest, found := bytes.Cut(l.rest, []byte("\n"))
		if !found {
			return len(p), nil
		}
		l.rest = rest
		l.Take(string(line))
	}
}
