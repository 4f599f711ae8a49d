//go:build linux

/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// stopTimeout is how long a process may take to end after it was asked to.
const stopTimeout = 15 * time.Second

// process is a child that dies with the benchmark, also when that is killed with SIGKILL.
type process struct {
	name string
	cmd  *exec.Cmd
	gone chan struct{} // closed when it has ended
	err  error         // how it ended, once it is gone
}

func start(name string, cmd *exec.Cmd) (*process, error) {
	p := &process{name: name, cmd: cmd, gone: make(chan struct{})}
	// A group of its own, so that the terminal's Ctrl-C reaches the benchmark only, and that ends its children in order.
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
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	return p, nil
}

func (p *process) alive() bool {
	select {
	case <-p.gone:
		return false
	default:
		return true
	}
}

// stop makes a process end that lives, by SIGTERM, and waits until it is gone. One that has ended by itself is an error.
func (p *process) stop() error {
	if !p.alive() {
		return fmt.Errorf("%s ended by itself: %s", p.name, p.cmd.ProcessState)
	}
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.gone:
		return nil
	case <-time.After(stopTimeout):
		_ = p.cmd.Process.Kill()
		<-p.gone
		return fmt.Errorf("%s did not stop within %s and was killed", p.name, stopTimeout)
	}
}

// output runs a command to its end and returns its standard output. Its error contains what it said on standard error.
func output(ctx context.Context, cmd *exec.Cmd) ([]byte, error) {
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	p, err := start(cmd.Args[0], cmd)
	if err != nil {
		return nil, err
	}
	select {
	case <-p.gone:
	case <-ctx.Done():
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // the group, as npm has children of its own
		<-p.gone
		return nil, context.Cause(ctx)
	}
	if p.err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", strings.Join(cmd.Args, " "), p.err), errors.New(strings.TrimSpace(stderr.String())))
	}
	return stdout.Bytes(), nil
}
