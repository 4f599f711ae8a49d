/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package main

import (
	"bytes"
	"net/http"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"testing"
	"time"
)

// operator is a running operator.
type operator struct {
	test            string
	cmd             *exec.Cmd
	ended           chan struct{}
	metrics, probes string

	mu     sync.Mutex
	output bytes.Buffer
}

// Write takes what the process prints.
func (o *operator) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.output.Write(p)
}

func (o *operator) log() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.output.String()
}

// start starts the operator with the rights of its service account. It is killed when the test ends, if it has not ended by then.
func (c *cluster) start(t *testing.T, environment []string, args ...string) *operator {
	t.Helper()
	metrics, probes := freeAddress(t), freeAddress(t)
	args = append([]string{"--kubeconfig=" + c.config, "--metrics-bind-address=" + metrics, "--health-probe-bind-address=" + probes}, args...)
	o := start(t, exec.Command(c.binary, args...), environment)
	o.metrics, o.probes = metrics, probes
	return o
}

// start starts an operator. It is killed when the test ends, if it has not ended by then.
func start(t *testing.T, cmd *exec.Cmd, environment []string) *operator {
	t.Helper()
	o := &operator{test: t.Name(), cmd: cmd, ended: make(chan struct{})}
	known.addFrom(environment, cmd.Args)
	started.Lock()
	started.operators = append(started.operators, o)
	started.Unlock()
	o.cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir()}, environment...)
	o.cmd.Stdout, o.cmd.Stderr = o, o
	if err := o.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = o.cmd.Wait()
		close(o.ended)
	}()
	t.Cleanup(func() {
		_ = o.cmd.Process.Kill()
		<-o.ended
		known.addFrom(nil, cmd.Args) // the file may have come, or changed
		if t.Failed() {
			t.Logf("the operator's log:\n%s", o.log())
		}
	})
	return o
}

// stop sends SIGTERM, as Kubernetes does, and checks the exit code.
func (o *operator) stop(t *testing.T, code int) {
	t.Helper()
	if err := o.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	o.ends(t, code)
}

// ends waits until the process has ended, and checks the exit code.
func (o *operator) ends(t *testing.T, code int) {
	t.Helper()
	select {
	case <-o.ended:
	case <-time.After(soon):
		t.Fatalf("the operator has not ended within %s", soon)
	}
	if got := o.cmd.ProcessState.ExitCode(); got != code {
		t.Errorf("exit code %d, want %d", got, code)
	}
}

// serves waits until the path of the health probes answers 200.
func (o *operator) serves(t *testing.T, path string) {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	await(t, path+" answers 200", func() bool {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+o.probes+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		response, err := client.Do(request)
		if err != nil {
			return false
		}
		return response.Body.Close() == nil && response.StatusCode == http.StatusOK
	})
}
