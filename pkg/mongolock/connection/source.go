/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

// Package connection follows a MongoDB connection string that may come late and change, as that of a mounted Secret does: its password
// is replaced before it expires, and whoever uses it goes over to the new one without a restart.
//
// No error and no log line of it has the connection string in it, or the name of the file: people do put the one in the other's place.
package connection

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"

	"github.com/mongolock/operator/pkg/mongolock"
)

const (
	// lookPeriod is how often the connection string is looked at again, and tryPeriod how often one that could not be used is tried.
	lookPeriod = 2 * time.Second
	tryPeriod  = 10 * time.Second
	// answerTimeout bounds the question whether a client works.
	answerTimeout = 10 * time.Second
	// closeTimeout bounds the end of a client.
	closeTimeout = 5 * time.Second
	// probe is the id of the lock that is read to see whether a client works. There need be no such lock.
	probe = "mongolock/connection"
)

// A Source is where the connection string is, and which one is in use. Its methods are for one goroutine at a time, but for Err.
type Source struct {
	// File has the connection string in it. Without a file URI is the connection string.
	File, URI string
	// Connect makes a client; it need not ask the server.
	Connect func(ctx context.Context, uri string) (*mongolock.Client, error)
	Log     logr.Logger

	used    string    // the connection string in use, empty without one
	refused string    // the last one that could not be used
	tried   time.Time // when refused was tried last
	err     atomic.Pointer[error]
}

// Err is why the connection string that is there now could not be used when it was last tried; nil if it is in use. It can be called at
// any time.
func (s *Source) Err() error {
	if err := s.err.Load(); err != nil {
		return *err
	}
	return nil
}

// keep makes Err return err.
func (s *Source) keep(err error) {
	s.err.Store(&err)
}

// Open makes a client of the connection string. The server is not asked: whatever it says, this is the string to begin with.
func (s *Source) Open(ctx context.Context) (client *mongolock.Client, err error) {
	defer func() { s.keep(err) }()
	uri, err := s.read()
	if err != nil {
		return nil, err
	}
	client, err = s.Connect(ctx, uri)
	if err != nil {
		s.refused, s.tried = uri, time.Now()
		return nil, err
	}
	s.used = uri
	return client, nil
}

// Next waits for another connection string than the one in use, and returns a client of it; nil when ctx ends. current is the client in
// use, or nil. As long as that works, the new string has to work too before it takes its place: it may have been mounted before the
// server knows of it, be half written, or simply be wrong.
func (s *Source) Next(ctx context.Context, current *mongolock.Client) *mongolock.Client {
	ticker := time.NewTicker(lookPeriod)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		uri, err := s.read()
		if err != nil || uri == s.used {
			s.keep(err)
			continue
		}
		if uri == s.refused && time.Since(s.tried) < tryPeriod {
			continue
		}
		client, err := s.try(ctx, uri, current)
		s.keep(err)
		switch {
		case err == nil:
			s.used, s.refused = uri, ""
			return client
		case ctx.Err() != nil:
			return nil
		case uri != s.refused:
			s.Log.Info("The new MongoDB connection string cannot be used; going on without it", "reason", err.Error())
		}
		s.refused, s.tried = uri, time.Now()
	}
}

// try makes a client of a connection string, if that is better than the current one.
func (s *Source) try(ctx context.Context, uri string, current *mongolock.Client) (*mongolock.Client, error) {
	client, err := s.Connect(ctx, uri)
	if err != nil {
		return nil, err
	}
	if err := works(ctx, client); err != nil && (ctx.Err() != nil || current != nil && works(ctx, current) == nil) {
		s.Close(ctx, client)
		return nil, err
	}
	return client, nil
}

// works asks the server.
func works(ctx context.Context, client *mongolock.Client) error {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	_, err := client.Get(ctx, probe)
	if errors.Is(err, mongolock.ErrForeignDocument) {
		return nil // somebody has put something there, and it could be read
	}
	return err
}

// Close ends a client; nil is none. It is bounded, and goes on when ctx has ended.
func (s *Source) Close(ctx context.Context, client *mongolock.Client) {
	if client == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
	defer cancel()
	if err := client.Close(ctx); err != nil {
		s.Log.Info("The connection to MongoDB was not closed cleanly", "reason", err.Error())
	}
}

func (s *Source) read() (string, error) {
	if s.File == "" {
		if uri := strings.TrimSpace(s.URI); uri != "" {
			return uri, nil
		}
		return "", errors.New("there is no connection string: neither a file that has it nor MONGODB_URI was given")
	}
	content, err := os.ReadFile(s.File)
	if err != nil {
		var failure *fs.PathError // which has the name too
		if errors.As(err, &failure) {
			err = failure.Err
		}
		return "", fmt.Errorf("the file of the connection string cannot be read: %w", err)
	}
	if uri := strings.TrimSpace(string(content)); uri != "" {
		return uri, nil
	}
	return "", errors.New("the file of the connection string is empty")
}
