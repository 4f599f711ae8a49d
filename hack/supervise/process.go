/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package supervise

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	// stopTimeout is how long a process may take to end after its stop signal before it is killed, and how long what it
	// started may take to end after being killed.
	stopTimeout = 10 * time.Second
	signalEvery = 100 * time.Millisecond
)

// A Process is one that a session started.
type Process struct {
	cmd    *exec.Cmd
	gone   chan struct{} // closed when it has ended
	killed atomic.Bool   // by Kill: its end is not the end of the run
}

// Start starts a process that ends with this program, its output in the log. At the end of the run it gets the signal
// stop and, if it has not ended within 10 s, SIGKILL. If it ends before, so does the run.
func (s *Session) Start(cmd *exec.Cmd, stop syscall.Signal) (*Process, error) {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	// A group of its own, so that the terminal's Ctrl-C reaches only this program.
	cmd.SysProcAttr.Setpgid = true
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	cmd.Stdout, cmd.Stderr = s.Log, s.Log

	p := &Process{cmd: cmd, gone: make(chan struct{})}
	started := make(chan error)
	go func() {
		// Linux delivers Pdeathsig when the thread that started the process ends, so that thread must live as long.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err != nil {
			return
		}
		err = cmd.Wait()
		close(p.gone)
		if !p.killed.Load() {
			s.Fail(fmt.Errorf("%s ended by itself: %w", filepath.Base(cmd.Path), orExitZero(err)))
		}
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	s.OnStop(func() { p.stop(stop) })
	return p, nil
}

func (p *Process) stop(signal syscall.Signal) {
	// Again and again: the first process of a namespace ignores a signal for which it has no handler yet.
	tick := time.NewTicker(signalEvery)
	defer tick.Stop()
	for deadline := time.Now().Add(stopTimeout); time.Now().Before(deadline); {
		_ = p.cmd.Process.Signal(signal)
		select {
		case <-p.gone:
			return
		case <-tick.C:
		}
	}
	_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
	<-p.gone
}

// Kill kills the process and all that it started with SIGKILL, and returns when none of them is left. The run goes on.
func (p *Process) Kill() error {
	p.killed.Store(true)
	// Stopped, it starts no more while its children are listed. They may be in groups of their own.
	_ = p.cmd.Process.Signal(syscall.SIGSTOP)
	left := descendants(p.cmd.Process.Pid)
	_ = p.cmd.Process.Kill()
	for _, pid := range left {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	<-p.gone

	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	deadline := time.Now().Add(stopTimeout)
	for _, pid := range left {
		for ; alive(pid); <-tick.C {
			if time.Now().After(deadline) {
				return fmt.Errorf("process %d did not end within %v after it was killed", pid, stopTimeout)
			}
		}
	}
	return nil
}

// descendants returns the ids of the processes that a process started, and of those that they started.
func descendants(of int) []int {
	stats, _ := filepath.Glob("/proc/[0-9]*/stat") // the pattern is well-formed
	children := map[int][]int{}
	for _, stat := range stats {
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(stat)))
		if err != nil {
			continue
		}
		if _, parent := status(pid); parent != 0 {
			children[parent] = append(children[parent], pid)
		}
	}
	all := children[of]
	for i := 0; i < len(all); i++ {
		all = append(all, children[all[i]]...)
	}
	return all
}

// alive says whether a process exists and is not merely waiting for its parent to notice its end.
func alive(pid int) bool {
	state, _ := status(pid)
	return state != "" && state != "Z" && state != "X"
}

// status returns the state of a process and the id of its parent, "" and 0 if there is no such process.
func status(pid int) (state string, parent int) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return "", 0
	}
	// "pid (name) state parent ...", where the name may hold anything.
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	parent, _ = strconv.Atoi(fields[1]) // the kernel writes a number
	return fields[0], parent
}
