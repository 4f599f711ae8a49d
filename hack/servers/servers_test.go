/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package servers_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/mongolock/operator/hack/servers"
	"github.com/mongolock/operator/hack/servers/servertest"
)

// parentVariable makes the test binary start the server it names and wait for its death.
const parentVariable = "MONGOLOCK_SERVERS_TEST_PARENT"

// gone is how long everything may take to disappear after a death.
const gone = 20 * time.Second

var starts = map[string]func(context.Context) (*servers.Server, error){
	"MongoDB":    servers.StartMongoDB,
	"Kubernetes": servers.StartKubernetes,
	"feed store": servers.StartFeed,
}

func TestMain(m *testing.M) {
	// A server that the user named is used as it is, so there is no life of ours to test.
	if os.Getenv("MONGODB_URI") != "" {
		delete(starts, "MongoDB")
	}
	if os.Getenv("USE_EXISTING_CLUSTER") == "true" {
		delete(starts, "Kubernetes")
	}
	if name := os.Getenv(parentVariable); name != "" {
		server, err := starts[name](context.Background())
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println(server.Address())
		time.Sleep(time.Hour)
	}
	adoptOrphans()
	servertest.Run(m, servertest.MongoDB, servertest.Kubernetes, servertest.Feed)
}

// Each test starts a second server beside those of TestMain, so that side by side is tested too.
func eachServer(t *testing.T, test func(t *testing.T, name string)) {
	for name := range starts {
		t.Run(name, func(t *testing.T) { test(t, name) })
	}
}

func TestServersAnswer(t *testing.T) {
	client, err := mongo.Connect(options.Client().ApplyURI(servertest.MongoDBURI()))
	if err != nil {
		t.Fatal(err)
	}
	if err := client.Ping(t.Context(), nil); err != nil {
		t.Error(err)
	}
	if err := client.Disconnect(t.Context()); err != nil {
		t.Error(err)
	}

	kubectl, err := servers.Kubectl()
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(kubectl, "--kubeconfig", servertest.Kubeconfig(), "get", "--raw", "/readyz").CombinedOutput()
	if err != nil || string(out) != "ok" {
		t.Errorf("GET /readyz: %s, %v", out, err)
	}
}

func TestDatabaseIsDropped(t *testing.T) {
	client, err := mongo.Connect(options.Client().ApplyURI(servertest.MongoDBURI()))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Disconnect(t.Context()) //nolint:errcheck // a leak fails the run

	var name string
	collections := func() []string {
		names, err := client.Database(name).ListCollectionNames(t.Context(), map[string]any{})
		if err != nil {
			t.Fatal(err)
		}
		return names
	}
	t.Run("with/odd $name", func(t *testing.T) {
		name = servertest.Database(t)
		if _, err := client.Database(name).Collection("c").InsertOne(t.Context(), map[string]any{"a": 1}); err != nil {
			t.Fatal(err)
		}
		if len(collections()) != 1 {
			t.Error("the collection was not created")
		}
	})
	if left := collections(); len(left) != 0 {
		t.Errorf("%v left", left)
	}
}

func TestParentKilled(t *testing.T) {
	eachServer(t, func(t *testing.T, name string) {
		before := descendants(os.Getpid())
		parent := exec.Command(os.Args[0])
		parent.Env = append(os.Environ(), parentVariable+"="+name)
		stdout, err := parent.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := parent.Start(); err != nil {
			t.Fatal(err)
		}
		line, err := bufio.NewReader(stdout).ReadString('\n')
		if err != nil {
			t.Fatal(line, err)
		}
		folder := folderOf(t, children(parent.Process.Pid)[0])

		if err := parent.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		if err := parent.Wait(); err == nil {
			t.Error("the parent was not killed")
		}
		await(t, "the end of the servers", func() bool { return len(added(before)) == 0 })
		expectNothing(t, before, folder)
	})
}

func TestProgramKilledAndStartedAgain(t *testing.T) {
	eachServer(t, func(t *testing.T, name string) {
		before := descendants(os.Getpid())
		server, err := starts[name](t.Context())
		if err != nil {
			t.Fatal(err)
		}
		program := newest(t, before)
		folder := folderOf(t, program)
		if err := syscall.Kill(program, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		await(t, "the end of the servers", func() bool { return len(added(before)) == 0 })
		if err := server.Stop(); err == nil || !strings.Contains(err.Error(), "killed") {
			t.Errorf("Stop: %v, want an error that says killed", err)
		}

		// Its folder goes with the next start, and a server that is stopped removes its own.
		next, err := starts[name](t.Context())
		if err != nil {
			t.Fatal(err)
		}
		nextFolder := folderOf(t, newest(t, before))
		if name == "Kubernetes" {
			expectNoFault(t, next, "cannot do that")
		}
		for range 2 {
			if err := next.Stop(); err != nil {
				t.Error(err)
			}
		}
		expectNothing(t, before, folder)
		expectNothing(t, before, nextFolder)
		expectNoFault(t, server, "does not run")
		expectNoFault(t, next, "does not run")
	})
}

func TestInterruptedStart(t *testing.T) {
	// How far into the start. Kubernetes gets one: envtest finishes its start before it looks up.
	const ms = time.Millisecond
	delays := map[string][]time.Duration{
		"MongoDB":    {0, 60 * ms, 90 * ms, 120 * ms, 150 * ms},
		"Kubernetes": {500 * ms},
		"feed store": {0, 10 * ms, 20 * ms, 30 * ms},
	}
	eachServer(t, func(t *testing.T, name string) {
		for _, delay := range delays[name] {
			before := descendants(os.Getpid())
			folder := make(chan string, 1)
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(delay, func() {
				defer cancel()
				folder <- interruptedFolder(before)
			})
			server, err := starts[name](ctx)
			if err == nil { // it was faster
				err = server.Stop()
			} else if errors.Is(err, context.Canceled) {
				err = nil
			}
			if err != nil {
				t.Error(err)
			}
			expectNothing(t, before, <-folder)
		}
	})
}

// interruptedFolder returns the folder of a program that is starting, or "" if it has not made one yet.
func interruptedFolder(before map[int]bool) string {
	for pid := range added(before) {
		dir, err := os.Readlink(fmt.Sprintf("/proc/%d/cwd", pid))
		if err == nil && strings.Contains(dir, "mongolock-") {
			return dir
		}
	}
	return ""
}

func TestUsersMongoDBIsUsed(t *testing.T) {
	t.Setenv("MONGODB_URI", "mongodb://user:secret@db.example/")
	before := descendants(os.Getpid())
	server, err := servers.StartMongoDB(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got := server.Address(); got != "mongodb://user:secret@db.example/" {
		t.Errorf("Address: %s", got)
	}
	expectNoFault(t, server, "unset MONGODB_URI")
	if err := server.Stop(); err != nil {
		t.Error(err)
	}
	if left := added(before); len(left) != 0 {
		t.Errorf("processes were started: %v", left)
	}
}

func TestMissingProgramsSayWhatToRun(t *testing.T) {
	t.Setenv("MONGOLOCK_CACHE", t.TempDir())
	t.Setenv("MONGODB_URI", "")
	t.Setenv("USE_EXISTING_CLUSTER", "")
	t.Setenv("KUBEBUILDER_ASSETS", "")
	_, mongodb := servers.StartMongoDB(t.Context())
	_, kubernetes := servers.StartKubernetes(t.Context())
	_, feed := servers.StartFeed(t.Context())
	_, kubectl := servers.Kubectl()
	for _, err := range []error{mongodb, kubernetes, feed, kubectl} {
		if err == nil || !strings.Contains(err.Error(), `run "make testenv"`) {
			t.Errorf(`error %v, want one that says: run "make testenv"`, err)
		}
	}
}
