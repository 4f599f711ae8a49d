/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

// Package servers starts the real servers that the tests and the demo run on: a MongoDB, a second one for feeds, and a
// Kubernetes API server.
//
// "make testenv" puts the programs into a cache; this package runs them, on free loopback ports. A server ends with
// the process that started it, however that one ends, and leaves no process and no folder behind.
package servers

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
)

// A Server is a running server, or one that the user named and that is only used. Its methods are not for use by
// several goroutines at a time.
type Server struct {
	address string
	program *program // nil: not ours
	// successor makes the program that takes the place of a killed one; nil: the program restarts what it serves.
	successor func() *exec.Cmd
}

// StartMongoDB starts a MongoDB, or uses the one that MONGODB_URI names. Address is its URI. It runs on the first that
// the machine has of: mongod on PATH, Docker, FerretDB over PostgreSQL. ctx bounds the start only.
func StartMongoDB(ctx context.Context) (*Server, error) { return startMongoDB(ctx) }

// StartMongoDBWithClock is StartMongoDB for the use of [Server.MoveClock], which makes FerretDB over PostgreSQL slower.
// It does not fail where the clock cannot be moved.
func StartMongoDBWithClock(ctx context.Context) (*Server, error) {
	return startMongoDB(ctx, "-movable-clock")
}

// StartSecureMongoDB starts a MongoDB that speaks TLS only, and with users only. Address is a URI with the file of the authority that
// signed the server's certificate, and with the password of an administrator, who can make users. It is a mongod on PATH or FerretDB
// over PostgreSQL; the latter knows only who somebody is, and lets everybody do everything. MONGODB_URI is not looked at: certificates
// and users of that server are not ours to make.
func StartSecureMongoDB(ctx context.Context) (*Server, error) {
	server, err := ownMongoDB(ctx, "-secure")
	if err != nil && os.Getenv("MONGODB_URI") != "" {
		return nil, fmt.Errorf("%w; this server is another than that of MONGODB_URI, and is made without that variable", err)
	}
	return server, err
}

func startMongoDB(ctx context.Context, flags ...string) (*Server, error) {
	if uri := os.Getenv("MONGODB_URI"); uri != "" {
		return used(uri), nil
	}
	return ownMongoDB(ctx, flags...)
}

func ownMongoDB(ctx context.Context, flags ...string) (*Server, error) {
	places, err := locate()
	if err != nil {
		return nil, err
	}
	if err := needs(places.mongodbServer); err != nil {
		return nil, err
	}
	flags = append(flags, "-postgres", places.postgres, "-ferretdb", places.ferretdb)
	return started(start(ctx, "MongoDB", exec.Command(places.mongodbServer, flags...)))
}

// StartFeed starts a feed store: a MongoDB that has capped collections and tailable cursors, which FerretDB 2 has not.
// It is FerretDB 1 over SQLite. Address is its URI. ctx bounds the start only. Where it differs from MongoDB:
//
//   - A tailable cursor ends at once without SetBatchSize(1), and while no document matches.
//   - What is inserted just when a wait for data ends may be lost to the cursor, or come twice. With waits of 1 s, see
//     SetMaxAwaitTime, that is rare as long as the machine is not busy; with 50 ms it is every fifth document.
//   - A waiting cursor reads the collection from the beginning, again and again. With 1000 documents that takes a core
//     and delays each by 0.3 s; with 10 000 nothing is delivered.
//   - A capped collection never drops old documents.
//   - When the collection is dropped, its cursors fail with code 1.
func StartFeed(ctx context.Context) (*Server, error) {
	places, err := locate()
	if err != nil {
		return nil, err
	}
	if err := needs(places.feedServer); err != nil {
		return nil, err
	}
	server, err := started(start(ctx, "feed store", exec.Command(places.feedServer)))
	if err != nil {
		return nil, err
	}
	uri, err := url.Parse(server.address)
	if err != nil {
		return nil, errors.Join(err, server.Stop())
	}
	server.successor = func() *exec.Cmd { return exec.Command(places.feedServer, "-listen", uri.Host) }
	return server, nil
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
	return started(start(ctx, "Kubernetes", cmd))
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
func (s *Server) Stop() error {
	if s.program == nil {
		return nil
	}
	return s.program.stop()
}

func used(address string) *Server { return &Server{address: address} }

func started(p *program, err error) (*Server, error) {
	if err != nil {
		return nil, err
	}
	return &Server{address: p.address, program: p}, nil
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
