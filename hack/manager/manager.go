//go:build linux

/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

// Package manager is what the tools need that run the real operator as a process.
package manager

import (
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/mongolock/operator/hack/child"
	"github.com/mongolock/operator/hack/task"
)

// Build builds the operator as a program of that path. say is told every half minute that it is still at work.
func Build(ctx context.Context, path string, say func(format string, args ...any)) error {
	begin := time.Now()
	defer task.Start(ctx, func(ctx context.Context) {
		for task.Wait(ctx, 30*time.Second); ctx.Err() == nil; task.Wait(ctx, 30*time.Second) {
			say("Still building after %.0fs.", time.Since(begin).Seconds())
		}
	})()
	_, err := child.Output(ctx, exec.Command("go", "build", "-o", path, "github.com/mongolock/operator"))
	return err
}

// InstallCRDs installs the custom resource definitions of this checkout and waits until they serve. kubectl runs a command and returns
// its output.
func InstallCRDs(ctx context.Context, kubectl func(ctx context.Context, args ...string) (string, error)) error {
	root, err := child.Output(ctx, exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/mongolock/operator"))
	if err != nil {
		return err
	}
	crds := filepath.Join(strings.TrimSpace(string(root)), "config", "crd", "bases")
	if _, err := kubectl(ctx, "apply", "--server-side", "-f", crds); err != nil {
		return err
	}
	_, err = kubectl(ctx, "wait", "--for=condition=Established", "--timeout=30s", "-f", crds)
	return err
}

// Environment is that of the tool without the settings of mongolock, which would be defaults of the operator's flags.
func Environment(uri string) []string {
	var env []string
	for _, variable := range os.Environ() {
		if !strings.HasPrefix(variable, "MONGOLOCK_") && !strings.HasPrefix(variable, "MONGODB_") {
			env = append(env, variable)
		}
	}
	return append(env, "MONGODB_URI="+uri)
}

// FreeAddress returns a loopback address whose port was free a moment ago.
func FreeAddress() (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return listener.Addr().String(), listener.Close()
}
