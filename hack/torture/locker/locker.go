//go:build linux

/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

// Package locker is the lock as the torture rig's workers see it: mongolock, or one of the controls in its place.
package locker

import (
	"context"
	"errors"
	"time"

	"github.com/mongolock/operator/pkg/mongolock"
)

// Acquisition is how a lock is to be acquired.
type Acquisition struct {
	Owner string
	Lease time.Duration
	// Shared and Barge are mongolock.Shared and mongolock.WithoutQueue, NoRenew is WithAutoRenew(false).
	Shared, Barge, NoRenew bool
}

// Grant is a lock that is held.
type Grant interface {
	Token() int64
	Deadline() time.Time
	Done() <-chan struct{}
	Err() error
	Renew(ctx context.Context) error
	Unlock(ctx context.Context) error
}

// Locker acquires locks. It returns the errors of package mongolock.
type Locker interface {
	TryLock(ctx context.Context, lock string, a Acquisition) (Grant, error)
	Lock(ctx context.Context, lock string, a Acquisition) (Grant, error)
	Close(ctx context.Context) error
}

// Mongolock is the real lock.
type Mongolock struct {
	Client *mongolock.Client
}

// TryLock is that of the client.
func (m Mongolock) TryLock(ctx context.Context, lock string, a Acquisition) (Grant, error) {
	lease, err := m.Client.TryLock(ctx, lock, a.options()...)
	if err != nil {
		return nil, err // not a nil lease in an interface
	}
	return lease, nil
}

// Lock is that of the client.
func (m Mongolock) Lock(ctx context.Context, lock string, a Acquisition) (Grant, error) {
	lease, err := m.Client.Lock(ctx, lock, a.options()...)
	if err != nil {
		return nil, err
	}
	return lease, nil
}

// Close is that of the client.
func (m Mongolock) Close(ctx context.Context) error { return m.Client.Close(ctx) }

func (a Acquisition) options() []mongolock.LockOption {
	options := []mongolock.LockOption{
		mongolock.WithOwner(a.Owner), mongolock.WithLease(a.Lease), mongolock.WithAutoRenew(!a.NoRenew),
		mongolock.WithMetadata(map[string]string{"for": "torture", "$add": "$$NOW"}),
	}
	if a.Shared {
		options = append(options, mongolock.Shared())
	}
	if a.Barge {
		options = append(options, mongolock.WithoutQueue())
	}
	return options
}

// Margin is how long before its end a holder stops believing in a lease: the default of mongolock.WithMargin.
func (a Acquisition) Margin() time.Duration { return min(a.Lease/10, time.Second) }

// Holder is the token of the holder that a refusal names, 0 if it names none.
func Holder(err error) int64 {
	var held *mongolock.HeldError
	if errors.As(err, &held) {
		return held.Token
	}
	return 0
}
