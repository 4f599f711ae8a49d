/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package resourcelocktest_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	rl "k8s.io/client-go/tools/leaderelection/resourcelock"

	"github.com/mongolock/operator/pkg/resourcelock/resourcelocktest"
)

// memoryBackend is an election in memory, by locks with a flaw.
func memoryBackend(flaw flaw) func(t testing.TB) resourcelocktest.Backend {
	return func(t testing.TB) resourcelocktest.Backend {
		s := &memory{over: make(chan struct{})}
		t.Cleanup(func() { close(s.over) })
		return resourcelocktest.Backend{
			Timings: quick,
			New: func(_ testing.TB, identity string, lease time.Duration) resourcelocktest.Candidate {
				lock := &memoryLock{memory: s, identity: identity, lease: lease, flaw: flaw, ended: make(chan struct{})}
				return resourcelocktest.Candidate{Lock: lock, Lost: lock.Lost, Token: lock.Token, Connection: &lock.line}
			},
			Delete: func(testing.TB) {
				s.change(func() {
					if s.exists, s.holder = false, (grant{}); flaw == recounts {
						s.last = 0
					}
				})
			},
			Seize: func(t testing.TB, by rl.Interface) {
				seize(t, by, quick.LeaseDuration, func(context.Context) error {
					s.change(func() { s.holder = grant{} })
					return nil
				})
			},
		}
	}
}

// resource is what API errors are about.
var resource = schema.GroupResource{Resource: "memory"}

// memory is a record in memory, judged by its own clock.
type memory struct {
	over chan struct{} // closed at the end of the scenario

	mu                     sync.Mutex
	exists                 bool
	holder                 grant
	last                   int64 // token; it survives a deletion
	renewals, acquisitions int
}

type grant struct {
	owner   string
	token   int64 // 0: nobody's
	attempt int64 // by which its owner knows it again
	lease   time.Duration
	expires time.Time
}

func (s *memory) change(do func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	do()
}

func (s *memory) held() bool {
	return s.exists && s.holder.token != 0 && time.Now().Before(s.holder.expires)
}

func (s *memory) acquire(owner string, attempt int64, lease time.Duration) (token int64, err error) {
	s.change(func() {
		switch {
		case s.held() && s.holder.attempt != attempt:
			err = apierrors.NewConflict(resource, owner, fmt.Errorf("held by %s", s.holder.owner))
			return
		case !s.held():
			s.last, s.acquisitions, s.exists = s.last+1, s.acquisitions+1, true
		}
		s.renewals++
		s.holder = grant{owner, s.last, attempt, lease, time.Now().Add(lease)}
		token = s.last
	})
	return token, err
}
