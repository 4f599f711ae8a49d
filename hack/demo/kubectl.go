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
	"encoding/json"
	"fmt"
	"os/exec"
	"time"

	"github.com/mongolock/operator/hack/child"
	"github.com/mongolock/operator/hack/task"
)

// kubectl runs the real kubectl against one API server.
type kubectl struct {
	path, kubeconfig, cache string
}

func (k *kubectl) command(args ...string) *exec.Cmd {
	// Without a cache folder of its own it would leave one for this server in the user's home.
	return exec.Command(k.path, append([]string{"--kubeconfig=" + k.kubeconfig, "--cache-dir=" + k.cache}, args...)...)
}

// run returns what kubectl prints.
func (k *kubectl) run(ctx context.Context, args ...string) (string, error) {
	out, err := child.Output(ctx, k.command(args...))
	return string(out), err
}

// apply applies the objects, one after the other.
func (k *kubectl) apply(ctx context.Context, objects ...any) error {
	var manifests bytes.Buffer
	for _, object := range objects {
		if err := json.NewEncoder(&manifests).Encode(object); err != nil {
			return err
		}
	}
	cmd := k.command("apply", "--server-side", "-f", "-")
	cmd.Stdin = &manifests
	_, err := child.Output(ctx, cmd)
	return err
}

// get decodes what "kubectl get -o json" prints.
func (k *kubectl) get(ctx context.Context, into any, args ...string) error {
	out, err := child.Output(ctx, k.command(append([]string{"get", "-o", "json"}, args...)...))
	if err != nil {
		return err
	}
	if err := json.Unmarshal(out, into); err != nil {
		return fmt.Errorf("kubectl get %v: %w", args, err)
	}
	return nil
}

// watch hands each line of a "kubectl get --watch" to show. The API server ends each watch after half an hour or more; it then
// begins again, without repeating what is there. The returned function stops it.
func (k *kubectl) watch(ctx context.Context, show func(string), args ...string) (stop func() error) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for mode := "--watch"; ctx.Err() == nil; mode = "--watch-only" {
			cmd := k.command(append([]string{"get", mode}, args...)...)
			cmd.Stdout = &child.Lines{Take: show}
			cmd.Stderr = &child.Lines{Take: func(line string) {
				if ctx.Err() == nil {
					show("kubectl: " + line)
				}
			}}
			if err := attend(ctx, "kubectl", cmd); err != nil {
				show(err.Error())
			}
			task.Wait(ctx, time.Second)
		}
	}()
	return func() error {
		cancel()
		<-done
		return nil
	}
}

// attend runs a process until it ends or ctx does, which stops it. It fails only if the process cannot be started.
func attend(ctx context.Context, name string, cmd *exec.Cmd) error {
	p, err := start(name, cmd, nil, nil)
	if err != nil {
		return err
	}
	select {
	case <-p.Gone():
	case <-ctx.Done():
		_ = p.stop() // it ends by a signal, which is no failure
	}
	return nil
}
