/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

// Package servertest gives the tests of a package the real servers they need. A server that cannot be started fails
// the tests; none is ever skipped.
package servertest

import (
	"context"
	"fmt"
	"os"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/mongolock/operator/hack/servers"
)

const (
	// startTimeout bounds the start of all servers, and lastTimeout the look after all tests.
	startTimeout = 3 * time.Minute
	lastTimeout  = time.Minute
)

// A Need is a server that a package's tests run on.
type Need int

// What tests can need.
const (
	MongoDB Need = iota
	Kubernetes
	Feed
)

var mongodbURI, kubeconfig, feedURI string

var running = map[Need]*servers.Server{}

// Run is the body of TestMain: it starts what is needed, runs the tests, checks that they left no goroutine, stops the
// servers and exits. A process that only runs fuzz targets gets no servers: none of them may need one.
func Run(m *testing.M, needs ...Need) {
	RunThen(m, func(context.Context) error { return nil }, needs...)
}

// RunThen is Run with a last look: it is called when all tests have run, while the servers still serve.
func RunThen(m *testing.M, last func(context.Context) error, needs ...Need) {
	if fuzzing() {
		os.Exit(m.Run())
	}
	os.Exit(run(m, last, needs))
}

// MongoDBURI is the URI of the MongoDB. The package's TestMain has to name that need.
func MongoDBURI() string { return given(mongodbURI, "MongoDB") }

// Kubeconfig is the path of an administrator's kubeconfig. The package's TestMain has to name that need.
func Kubeconfig() string { return given(kubeconfig, "Kubernetes") }

// FeedURI is the URI of the feed store. The package's TestMain has to name that need.
func FeedURI() string { return given(feedURI, "Feed") }

// Restart kills a server and starts it again; see [servers.Server.Restart], also for those where it cannot be and an error is all that
// happens. It must not run beside other tests of the package.
func Restart(ctx context.Context, need Need) error {
	server := running[need]
	if server == nil {
		panic("TestMain has to call servertest.Run with what is to be restarted")
	}
	return server.Restart(ctx)
}

func given(address, need string) string {
	if address == "" {
		panic("TestMain has to call servertest.Run with servertest." + need)
	}
	return address
}

func run(m *testing.M, last func(context.Context) error, needs []Need) (code int) {
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()

	started, failures := make([]*servers.Server, len(needs)), make([]error, len(needs))
	var starts sync.WaitGroup
	for i, need := range needs {
		starts.Go(func() { started[i], failures[i] = start(ctx, need) })
	}
	starts.Wait()
	for i, server := range started {
		if server != nil {
			running[needs[i]] = server
			defer func() { code = max(code, stop(server)) }()
		}
	}
	for _, err := range failures {
		if err != nil {
			fmt.Fprintln(os.Stderr, "servertest:", err)
			code = 1
		}
	}
	if code != 0 {
		return code
	}

	code = m.Run()
	ctx, stopLooking := context.WithTimeout(context.Background(), lastTimeout)
	defer stopLooking()
	if err := last(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "servertest: after all tests:", err)
		code = 1
	}
	if code == 0 {
		if err := goleak.Find(); err != nil {
			fmt.Fprintln(os.Stderr, "servertest: the tests left goroutines:", err)
			code = 1
		}
	}
	return code
}

// start starts one server and keeps its address. The server is returned also when it serves but is of no use.
func start(ctx context.Context, need Need) (*servers.Server, error) {
	switch need {
	case Kubernetes:
		server, err := servers.StartKubernetes(ctx)
		if err == nil {
			kubeconfig = server.Address()
		}
		return server, err
	case Feed:
		return startMongoDB(ctx, servers.StartFeed, &feedURI, "the tests' feed store is")
	default:
		return startMongoDB(ctx, servers.StartMongoDB, &mongodbURI, "the tests run on")
	}
}

func startMongoDB(
	ctx context.Context, start func(context.Context) (*servers.Server, error), uri *string, text string,
) (*servers.Server, error) {
	server, err := start(ctx)
	if err != nil {
		return nil, err
	}
	*uri = server.Address()
	product, err := identify(ctx, *uri)
	if err == nil {
		fmt.Println("servertest:", text, product)
	}
	return server, err
}

func stop(server *servers.Server) int {
	if err := server.Stop(); err != nil {
		fmt.Fprintln(os.Stderr, "servertest:", err)
		return 1
	}
	return 0
}
