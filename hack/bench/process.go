//go:build linux

/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package main

import (
	"fmt"
	"os/exec"
	"syscall"
	"time"

	"github.com/mongolock/operator/hack/child"
)

// stopTimeout is how long a process may take to end after it was asked to.
const stopTimeout = 15 * time.Second

// process is a child with a name.
type process struct {
	*child.Process
	name string
}

func start(name string, cmd *exec.Cmd) (*process, error) {
	p, err := child.Start(cmd)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	return &process{p, name}, nil
}

// stop makes a process end that lives, by SIGTERM, and waits until it is gone. One that has ended by itself is an error.
func (p *process) stop() error {
	if !p.Alive() {
		return fmt.Errorf("%s ended by itself: %s", p.name, p.Cmd.ProcessState)
	}
	p.Signal(syscall.SIGTERM)
	select {
	case <-p.Gone():
		return nil
	case <-time.After(stopTimeout):
		p.Kill()
		return fmt.Errorf("%s did not stop within %s and was killed", p.name, stopTimeout)
	}
}
