/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package controllers

import (
	"context"
	"iter"
	"sync"

	"github.com/mongolock/operator/pkg/mongolock"
)

// fakeStore is a store whose feed the test feeds.
type fakeStore struct {
	feed *fakeFeed
	// states are what Find finds, in so many finds; foreign makes it find a foreign document.
	mu      sync.Mutex
	states  map[string]mongolock.State
	foreign map[string]bool
	finds   int
	// policies and evicted are what was asked for; refuses is the answer.
	policies []mongolock.Policy
	evicted  []int64
	refuses  error
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

func (s *fakeStore) Find(_ context.Context, ids []string) iter.Seq2[mongolock.State, error] {
	return func(yield func(mongolock.State, error) bool) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.finds++
		for _, id := range ids {
			state, ok := s.states[id]
			state.ID = id
			switch {
			case s.foreign[id]:
				if !yield(mongolock.State{ID: id}, mongolock.ErrForeignDocument) {
					return
				}
			case ok && !yield(state, nil):
				return
			}
		}
	}
}

func (s *fakeStore) SetPolicy(_ context.Context, _ string, p mongolock.Policy) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.policies = append(s.policies, p)
	return s.refuses
}

func (s *fakeStore) Evict(_ context.Context, _ string, token int64, _ string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.evicted = append(s.evicted, token)
	return s.refuses
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
