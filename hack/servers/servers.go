/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

// Package servers starts the real servers that the tests and the demo run on: a MongoDB and a Kubernetes API server.
//
// "make testenv" puts the programs into a cache; this package runs them, on free loopback ports. A server ends with
// the process that started it, however that one ends, and leaves no process and no folder behind.
package servers

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// stopTimeout bounds Stop. The programs kill what does not end within 10 s, so it is not reached unless one hangs.
const stopTimeout = 40 * time.Second

// A Server is a running server, or one that the user named and that is only used.
type Server struct {
	address string
	name    string
	cmd     *exec.Cmd // nil: not ours
	stdin   *os.File  // the program serves until this is closed
	stop    func() error
}

// StartMongoDB starts a MongoDB, or uses the one that MONGODB_URI names. Address is its URI. It runs on the first that
// the machine has of: mongod on PATH, Docker, FerretDB over PostgreSQL. ctx bounds the start only.
func StartMongoDB(ctx context.Context) (*Server, error) {
	if uri := os.Getenv("MONGODB_URI"); uri != "" {
		return used(uri), nil
	}
	places, err := locate()
	if err != nil {
		return nil, err
	}
	if err := needs(places.mongodbServer); err != nil {
		return nil, err
	}
	return start(ctx, "MongoDB", exec.Command(places.mongodbServer, "-postgres", places.postgres))
}

// StartKubernetes starts etcd and kube-apiserver with RBAC on, or, when USE_EXISTING_CLUSTER is "true", uses the
// cluster of KUBECONFIG (default ~/.kube/config). Address is the path of an administrator's kubeconfig. No controller
// and no node runs: objects are stored, validated and watched, and that is all. ctx bounds the start only.
func StartKubernetes(ctx context.Context) (*Server, error) {
	if os.Getenv("USE_EXISTING_CLUSTER") == "true" {
		return existingCluster()
	}
	places, err := locate()
	if err != nil {
		return nil, err
	}
	if err := needs(places.kubernetesServer, filepath.Join(places.assets, "kube-apiserver"),
		filepath.Join(places.assets, "etcd")); err != nil {
		return nil, err
	}
	cmd := exec.Command(places.kubernetesServer, "-assets", places.assets)
	// envtest keeps a list of the ports in use below the user's cache folder.
	cmd.Env = append(os.Environ(), "XDG_CACHE_HOME="+places.cache)
	return start(ctx, "Kubernetes", cmd)
}

// Kubectl returns the path of a kubectl that fits the API server.
func Kubectl() (string, error) {
	places, err := locate()
	if err != nil {
		return "", err
	}
	path := filepath.Join(places.assets, "kubectl")
	return path, needs(path)
}

// Address is the URI of a MongoDB, which may hold a password, or the path of a kubeconfig.
func (s *Server) Address() string { return s.address }

// Stop stops the server and waits until it is gone, at most 40 s. It returns an error when the server had ended by
// itself before. Further calls do nothing and return the same. A server that was only used is left alone.
func (s *Server) Stop() error { return s.stop() }

func used(address string) *Server {
	return &Server{address: address, stop: func() error { return nil }}
}

func existingCluster() (*Server, error) {
	path := os.Getenv("KUBECONFIG")
	if path == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return nil, err
		}
		path = filepath.Join(home, ".kube", "config")
	}
	if _, err := os.Stat(path); err != nil {
		return nil, fmt.Errorf("USE_EXISTING_CLUSTER is set, so KUBECONFIG has to name one kubeconfig file: %w", err)
	}
	return used(path), nil
}

// start runs a server program and waits for the line with its address. It keeps no goroutine: the program reads the
// end of a pipe that lives as long as this process, and writes errors to our standard error itself.
func start(ctx context.Context, name string, cmd *exec.Cmd) (*Server, error) {
	stdin, keepOpen, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	stdout, address, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(err, stdin.Close(), keepOpen.Close())
	}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, address, os.Stderr
	// A group of its own: the terminal's Ctrl-C ends this process, and that ends the server.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	err = cmd.Start()
	_, _ = stdin.Close(), address.Close()
	defer stdout.Close() //nolint:errcheck // read to the first line only
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start %s: %w", name, err), keepOpen.Close())
	}

	server := &Server{name: name, cmd: cmd, stdin: keepOpen}
	server.stop = sync.OnceValue(server.end)
	defer context.AfterFunc(ctx, func() { _ = stdout.SetReadDeadline(time.Now()) })()
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		_ = server.Stop()
		if ctx.Err() != nil {
			return nil, fmt.Errorf("start %s: %w", name, context.Cause(ctx))
		}
		return nil, fmt.Errorf("start %s: it gave up; the reason is on standard error", name)
	}
	server.address = strings.TrimSuffix(line, "\n")
	return server, nil
}

// end stops the program by closing its standard input.
func (s *Server) end() error {
	_ = s.stdin.Close()
	hung := time.AfterFunc(stopTimeout, func() { _ = s.cmd.Process.Kill() })
	defer hung.Stop()
	if err := s.cmd.Wait(); err != nil {
		return fmt.Errorf("%s ended by itself or did not stop: %w", s.name, err)
	}
	return nil
}
