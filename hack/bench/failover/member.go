//go:build linux

/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"syscall"

	"k8s.io/client-go/tools/clientcmd"

	"github.com/mongolock/operator/hack/child"
)

// event is a line that a candidate said.
type event struct {
	by    *member
	what  string // looked, elected, tick, ended; gone when the process has ended
	token int64
	at    int64 // on the machine's monotonic clock, in nanoseconds
}

// member is the process of a candidate.
type member struct{ process *child.Process }

// startMember starts a candidate, whose lines go to tell.
func startMember(orders Orders, tell func(event)) (*member, error) {
	text, err := json.Marshal(orders)
	if err != nil {
		return nil, err
	}
	m := &member{}
	cmd := exec.Command("/proc/self/exe", "-"+candidateFlag, string(text))
	cmd.Stderr = os.Stderr
	// Whatever looks for a cluster by itself finds the one whose requests are counted.
	cmd.Env = append(os.Environ(), clientcmd.RecommendedConfigPathEnvVar+"="+orders.Kubeconfig)
	cmd.Stdout = &child.Lines{Take: func(line string) {
		e := event{by: m}
		if n, err := fmt.Sscan(line, &e.what, &e.token, &e.at); n == 3 && err == nil {
			tell(e)
		}
	}}
	if m.process, err = child.Start(cmd); err != nil {
		return nil, err
	}
	go func() { // ends with the process
		<-m.process.Gone()
		tell(event{by: m, what: "gone", at: now()})
	}()
	return m, nil
}

// signal sends a signal and returns the time before it.
func (m *member) signal(s syscall.Signal) int64 {
	at := now()
	m.process.Signal(s)
	return at
}

// kill kills it, if it is there, and waits for its end.
func (m *member) kill() {
	if m != nil {
		m.process.Kill()
	}
}
