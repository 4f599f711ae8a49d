/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package controllers

import (
	"context"
	"sync"

	"github.com/mongolock/operator/pkg/mongolock"
)

// fakeStore is a store whose feed the test feeds.
type fakeStore struct {
	feed *fakeFeed
	// states are what Get finds; foreign makes it find a foreign document.
	mu      sync.Mutex
	states  map[string]mongolock.State
	foreign map[string]bool
	invalid string // an id that Get refuses
}

func (s *fakeStore) Watch(context.Context) (Feed, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.feed, nil
}

// use makes the next Watch return another feed.
func (s *fakeStore) use(feed *fakeFeed) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.feed = feed
}

func (s *fakeStore) Get(_ context.Context, id string) (mongolock.State, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.foreign[id] {
		return mongolock.State{}, mongolock.ErrForeignDocument
	}
	if s.invalid != "" && id == s.invalid {
		return mongolock.State{}, mongolock.ErrInvalid
	}
	state := s.states[id]
	state.ID = id
	return state, nil
}

// fakeFeed is a feed that works.
type fakeFeed struct {
	changes chan mongolock.Change
	mu      sync.Mutex
	closed  bool
}

func newFakeFeed() *fakeFeed { return &fakeFeed{changes: make(chan mongolock.Change)} }

func (f *fakeFeed) Changes() <-chan mongolock.Change { return f.changes }
func (f *fakeFeed) Synced() bool                     { return true }
func (f *fakeFeed) Err() error                       { return nil }

func (f *fakeFeed) Close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = true
}

func (f *fakeFeed) isClosed() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.closed
}
