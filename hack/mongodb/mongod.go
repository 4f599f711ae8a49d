/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package main

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"

	"github.com/mongolock/operator/hack/supervise"
)

const dockerImage = "mongo:8"

// startMongod starts mongod.
func startMongod(ctx context.Context, s *supervise.Session) (string, error) {
	address, err := runMongod(ctx, s, direct)
	return replicaSetURI(address), err
}

// runMongod starts mongod as a replica set of one, so that it has what a replica set has: retryable writes, majority
// write concern, an oplog. It returns the address; uri makes of that a URI for a connection to this one server.
func runMongod(ctx context.Context, s *supervise.Session, uri func(address string) string, flags ...string) (string, error) {
	port, err := freePort()
	if err != nil {
		return "", err
	}
	data := filepath.Join(s.Dir, "data")
	if err := os.Mkdir(data, 0o700); err != nil {
		return "", err
	}
	run := func() (*supervise.Process, error) {
		server := exec.Command("mongod", append([]string{"--dbpath", data, "--bind_ip", "127.0.0.1", "--port", port,
			"--replSet", replicaSet, "--nounixsocket"}, flags...)...)
		// Its data is thrown away: there is nothing it would have to write before it ends.
		return s.Start(server, syscall.SIGKILL)
	}
	server, err := run()
	if err != nil {
		return "", err
	}
	address := "127.0.0.1:" + port
	s.OnRequest(restartRequest, func(ctx context.Context, pause string) error {
		if err := server.Kill(); err != nil {
			return err
		}
		if err := wait(ctx, pause); err != nil {
			return err
		}
		if server, err = run(); err != nil {
			return err
		}
		return awaitPrimary(ctx, s, uri(address))
	})
	return address, initiate(ctx, s, address, uri(address))
}

// startDocker starts the same in a container. The port is the same inside and outside, because a replica set names
// its members and clients connect to these names. The container ends when the standard input of docker ends, that is
// when docker or this program has died: nothing else would stop it after a kill -9.
func startDocker(ctx context.Context, s *supervise.Session) (string, error) {
	port, err := freePort()
	if err != nil {
		return "", err
	}
	const script = `mongod --replSet "$1" --bind_ip_all --port "$2" & cat >/dev/null; kill -9 $!`
	server := exec.Command("docker", "run", "--rm", "--interactive", "--publish", "127.0.0.1:"+port+":"+port,
		"--tmpfs", "/data/db", "--entrypoint", "sh", dockerImage, "-c", script, "sh", replicaSet, port)
	stdin, keepOpen, err := os.Pipe()
	if err != nil {
		return "", err
	}
	defer stdin.Close() //nolint:errcheck // our copy; docker has its own
	server.Stdin = stdin
	// A signal would reach the shell in the container; the end of its input stops it for certain.
	if _, err := s.Start(server, syscall.Signal(0)); err != nil {
		return "", err
	}
	s.OnStop(func() { _ = keepOpen.Close() })
	address := "127.0.0.1:" + port
	return replicaSetURI(address), initiate(ctx, s, address, direct(address))
}
