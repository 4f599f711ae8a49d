//go:build linux

/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package main

import (
	"fmt"
	"io"
	"os/exec"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/mongolock/operator/hack/child"
)

// stopTimeout is how long a process may take to end after it was asked to.
const stopTimeout = 15 * time.Second

// process is a child that dies with the demo, also when that is killed with SIGKILL.
type process struct {
	*child.Process
	name  string
	stdin io.WriteCloser // nil unless piped
	asked atomic.Bool    // to end; otherwise its end is a failure
}

// start starts a process. ended is called, if it is not nil, when the process ends without having been asked to.
func start(name string, cmd *exec.Cmd, stdin io.WriteCloser, ended func(error)) (*process, error) {
	started, err := child.Start(cmd)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	p := &process{Process: started, name: name, stdin: stdin}
	if ended != nil {
		go func() { // ends with the process
			<-p.Gone()
			if !p.asked.Load() {
				ended(p.endedByItself())
			}
		}()
	}
	return p, nil
}

func (p *process) endedByItself() error {
	return fmt.Errorf("%s ended by itself: %s", p.name, p.Cmd.ProcessState)
}

// kill kills the process with SIGKILL, waits until it is gone and its output is read, and returns when it was killed.
func (p *process) kill() stamp {
	p.asked.Store(true)
	at := now()
	p.Kill()
	return at
}

// stop asks the process to end, by the end of its input if that is a pipe, otherwise by SIGTERM, and waits until it is gone. It fails
// if the process had ended by itself, had to be killed or did not end well. Of a process that was stopped or killed before it does
// nothing.
func (p *process) stop() error {
	asked := p.asked.Swap(true)
	switch {
	case !p.Alive() && asked:
		return nil
	case !p.Alive():
		return p.endedByItself()
	}
	if p.stdin != nil {
		_ = p.stdin.Close()
	} else {
		p.Signal(syscall.SIGTERM)
	}
	select {
	case <-p.Gone():
	case <-time.After(stopTimeout):
		p.kill()
		return fmt.Errorf("%s did not stop within %s and was killed", p.name, stopTimeout)
	}
	if err := p.Err(); err != nil {
		return fmt.Errorf("%s did not end well: %w", p.name, err)
	}
	return nil
}
