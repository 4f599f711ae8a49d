/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package connection

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr/funcr"

	"github.com/mongolock/operator/hack/servers/servertest"
	"github.com/mongolock/operator/pkg/mongolock"
)

func TestMain(m *testing.M) { servertest.Run(m, servertest.MongoDB) }

// soon is how long anything may take.
const soon = time.Minute

// Whatever is given for a file, the error does not repeat it: it may be a password.
func TestUnreadableFile(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "empty")
	write(t, empty, " \n")
	for file, want := range map[string]string{
		"":                                   "there is no connection string",
		filepath.Join(t.TempDir(), "sesame"): "no such file",
		t.TempDir():                          "is a directory",
		empty:                                "is empty",
	} {
		client, err := (&Source{File: file}).Open(t.Context())
		if client != nil || err == nil || !strings.Contains(err.Error(), want) || file != "" && strings.Contains(err.Error(), file) {
			t.Errorf("%s: %v", want, err)
		}
	}
}

// What is used while the file is missing, wrong and right.
func TestNext(t *testing.T) {
	s, log := newSource(t)
	if _, err := s.Open(t.Context()); err == nil || !errors.Is(s.Err(), err) {
		t.Fatalf("without a connection string: %v, Err says %v", err, s.Err())
	}
	found := s.next(t, nil)
	write(t, s.File, "not a connection string")
	log.await(t, 1)
	if err := s.Err(); !errors.Is(err, mongolock.ErrInvalid) {
		t.Errorf("Err says %v of nonsense", err)
	}
	write(t, s.File, servertest.MongoDBURI())
	first := got(t, found)
	if err := s.Err(); err != nil {
		t.Errorf("Err says %v of what is in use", err)
	}
	if err := works(t.Context(), first); err != nil {
		t.Fatalf("the client of the string that came late: %v", err)
	}

	// The first one works, so one that does not is not taken.
	found = s.next(t, first)
	write(t, s.File, nowhere(t))
	log.await(t, 2)
	write(t, s.File, servertest.MongoDBURI()+"?appName=second")
	second := got(t, found)
	if err := works(t.Context(), second); err != nil {
		t.Fatalf("the client of the string that followed: %v", err)
	}

	// A closed one stands for one whose password has expired: anything is as good.
	s.Close(t.Context(), first)
	s.Close(t.Context(), second)
	found = s.next(t, second)
	write(t, s.File, nowhere(t))
	s.Close(t.Context(), got(t, found))
	if text := log.String(); strings.Contains(text, "sesame") || strings.Count(text, "going on without it") != 2 {
		t.Errorf("the log is\n%s", text)
	}
}

// It ends with its context, and whatever it has begun with it.
func TestNextEnds(t *testing.T) {
	s, _ := newSource(t)
	ctx, cancel := context.WithCancel(t.Context())
	found := make(chan *mongolock.Client)
	go func() { found <- s.Next(ctx, nil) }()
	write(t, s.File, "mongodb://user:sesame@192.0.2.1/")
	cancel()
	if client := <-found; client != nil {
		t.Error("a client although the context has ended")
	}
}

func newSource(t *testing.T) (*testSource, *record) {
	log := &record{}
	database := servertest.Database(t)
	return &testSource{Source{
		File: filepath.Join(t.TempDir(), "uri"),
		Connect: func(ctx context.Context, uri string) (*mongolock.Client, error) {
			return mongolock.Connect(ctx, uri, mongolock.WithDatabase(database), mongolock.WithDeferredCheck())
		},
		Log: funcr.New(log.add, funcr.Options{}),
	}}, log
}

type testSource struct{ Source }

// next calls Next in the background.
func (s *testSource) next(t *testing.T, current *mongolock.Client) <-chan *mongolock.Client {
	found := make(chan *mongolock.Client, 1)
	ctx, cancel := context.WithTimeout(t.Context(), soon)
	go func() {
		defer cancel()
		found <- s.Next(ctx, current)
	}()
	return found
}

func got(t *testing.T, found <-chan *mongolock.Client) *mongolock.Client {
	t.Helper()
	client := <-found
	if client == nil {
		t.Fatalf("no client within %s", soon)
	}
	return client
}

// nowhere is a connection string of a server that does not run.
func nowhere(t *testing.T) string {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	return "mongodb://user:sesame@" + listener.Addr().String() + "/?serverSelectionTimeoutMS=1000"
}

// write replaces a file as a whole.
func write(t *testing.T, file, content string) {
	t.Helper()
	next := file + ".next"
	if err := os.WriteFile(next, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(next, file); err != nil {
		t.Fatal(err)
	}
}

// record is a log.
type record struct {
	mu   sync.Mutex
	text strings.Builder
}

func (r *record) add(prefix, args string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.text.WriteString(prefix + args + "\n")
}

func (r *record) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.String()
}

// await waits until the log tells of so many strings that could not be used.
func (r *record) await(t *testing.T, refusals int) {
	t.Helper()
	for deadline := time.Now().Add(soon); strings.Count(r.String(), "going on without it") < refusals; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not told of within %s; the log is\n%s", soon, r)
		}
	}
}
