//go:build linux

/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"github.com/mongolock/operator/hack/bench/gauge"
	"github.com/mongolock/operator/hack/child"
	"github.com/mongolock/operator/hack/manager"
)

const (
	// stopTimeout is how long the operator may take to end after SIGTERM: what Kubernetes grants.
	stopTimeout = 30 * time.Second
	askTimeout  = 5 * time.Second
)

// process is a running operator.
type process struct {
	*child.Process
	metrics, health string // addresses
	began           int64
}

// startOperator starts an operator with the flags of its defaults, as an administrator.
func (k *stack) startOperator(flags []string, log *os.File) (*process, error) {
	p := &process{}
	for _, address := range []*string{&p.metrics, &p.health} {
		var err error
		if *address, err = manager.FreeAddress(); err != nil {
			return nil, err
		}
	}
	cmd := exec.Command(k.binary, append([]string{
		"--kubeconfig=" + k.kubeconfig, "--mongodb-database=" + k.database,
		"--metrics-bind-address=" + p.metrics, "--metrics-secure=false", "--health-probe-bind-address=" + p.health,
	}, flags...)...)
	cmd.Env = manager.Environment(k.proxy.URI())
	cmd.Stdout, cmd.Stderr = log, log
	p.began = gauge.Now()
	var err error
	p.Process, err = child.Start(cmd)
	return p, err
}

// ready tells whether the operator does its work: it passes its readiness check, leads, and has read all locks once.
func (p *process) ready(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.health+"/readyz", http.NoBody)
	if err != nil {
		return false
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return false
	}
	_ = response.Body.Close() // nothing of it is wanted
	if response.StatusCode != http.StatusOK {
		return false
	}
	m, err := scrape(ctx, http.DefaultClient, "http://"+p.metrics+"/metrics")
	return err == nil && m.sum("leader_election_master_status") == 1 && m.sum("mongolock_store_up") == 1
}

// stop ends the operator in order, and returns how long that took.
func (p *process) stop() (time.Duration, error) {
	if !p.Alive() {
		return 0, fmt.Errorf("the operator ended by itself: %s", p.Cmd.ProcessState)
	}
	begin := time.Now()
	p.Signal(syscall.SIGTERM)
	select {
	case <-p.Gone():
		return time.Since(begin), p.Err()
	case <-time.After(stopTimeout):
		p.Kill()
		return 0, fmt.Errorf("the operator did not end within %s after SIGTERM", stopTimeout)
	}
}

// peakMiB is the most memory that the process has ever occupied; 0 if it is gone.
func (p *process) peakMiB() float64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.Cmd.Process.Pid))
	if err != nil {
		return 0
	}
	var kib float64
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			_, _ = fmt.Sscan(value, &kib)
		}
	}
	return kib / 1024
}
