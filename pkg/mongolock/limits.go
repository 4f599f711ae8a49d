/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package mongolock

import (
	"crypto/rand"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"
)

// Limits of what callers may send. They keep a lock's document small: it is read and written whole.
const (
	// MaxIDBytes and MaxOwnerBytes are the longest lock id and owner, in bytes.
	MaxIDBytes    = 512
	MaxOwnerBytes = 256
	// MaxMetadataKeys and MaxMetadataBytes limit metadata; bytes are those of keys and values together.
	MaxMetadataKeys  = 16
	MaxMetadataBytes = 4096
	// MinLease and MaxLease are the shortest and the longest lease; see WithMinLease.
	MinLease = time.Second
	MaxLease = 24 * time.Hour
	// MaxWaiters is how many waiters a lock's queue holds. A process has one there at most, however many of its goroutines wait.
	MaxWaiters = 1000
	// MaxCapacity is the largest capacity of a lock that is shared; see Policy.
	MaxCapacity = 1000
	// MaxReasonBytes is the longest reason of an eviction, in bytes.
	MaxReasonBytes = 256
	// MinGrace is the shortest grace period: servers purge about once a minute.
	MinGrace = time.Minute

	minRetryPeriod = 10 * time.Millisecond
	maxGrace       = 365 * 24 * time.Hour
)

// scratchPrefix begins the ids of the self-test's documents. Locks must not, and lists and feeds leave it out.
const scratchPrefix = "mongolock:selftest/"

// lockSettings checks the arguments of an acquisition.
func (c *Client) lockSettings(id string, opts []LockOption) (string, lockSettings, error) {
	s := c.settings.lock
	for _, o := range opts {
		o.applyLock(&s)
	}
	if id == "" {
		id = newUUID()
	}
	if err := validateID(id); err != nil {
		return "", s, err
	}
	return id, s, s.validate(c.settings.minLease)
}

func validateID(id string) error {
	switch {
	case id == "" || len(id) > MaxIDBytes:
		return invalid("lock id has %d bytes; it must have 1 to %d", len(id), MaxIDBytes)
	case !utf8.ValidString(id):
		return invalid("lock id %q is not UTF-8", id)
	case strings.HasPrefix(id, scratchPrefix):
		return invalid("lock id %q begins with %q, which is reserved", id, scratchPrefix)
	}
	return nil
}

func (s clientSettings) validate() error {
	switch {
	case s.database == "":
		return invalid("the database has no name")
	case s.collection == "":
		return invalid("the collection has no name")
	case s.grace != 0 && (s.grace < MinGrace || s.grace > maxGrace || s.grace%time.Second != 0):
		return invalid("grace is %s; it must be %s to %s in whole seconds", s.grace, MinGrace, maxGrace)
	case s.minLease < 10*time.Millisecond || s.minLease > MinLease:
		return invalid("shortest lease is %s; it must be 10ms to %s", s.minLease, MinLease)
	}
	if s.metrics == nil {
		return invalid("the metrics are nil")
	}
	return s.lock.validate(s.minLease)
}

func (s lockSettings) validate(minLease time.Duration) error {
	switch {
	case s.lease < minLease || s.lease > MaxLease:
		return invalid("lease is %s; it must be %s to %s", s.lease, minLease, MaxLease)
	case s.lease%time.Millisecond != 0:
		return invalid("lease is %s; it must be whole milliseconds", s.lease)
	case s.margin < 0 || s.margin >= s.lease/2:
		return invalid("margin is %s; it must be 0, for the default, or positive and less than half of the lease of %s", s.margin, s.lease)
	case s.retryPeriod < minRetryPeriod || s.retryPeriod > MaxLease:
		return invalid("retry period is %s; it must be %s to %s", s.retryPeriod, minRetryPeriod, MaxLease)
	case s.owner == "" || len(s.owner) > MaxOwnerBytes:
		return invalid("owner has %d bytes; it must have 1 to %d", len(s.owner), MaxOwnerBytes)
	case !utf8.ValidString(s.owner):
		return invalid("owner %q is not UTF-8", s.owner)
	}
	return validateMetadata(s.metadata)
}

func validateMetadata(metadata map[string]string) error {
	if len(metadata) > MaxMetadataKeys {
		return invalid("metadata has %d keys; it may have %d", len(metadata), MaxMetadataKeys)
	}
	size := 0
	for k, v := range metadata {
		size += len(k) + len(v)
		if !utf8.ValidString(k) || !utf8.ValidString(v) {
			return invalid("metadata key %q or its value is not UTF-8", k)
		}
	}
	if size > MaxMetadataBytes {
		return invalid("metadata has %d bytes of keys and values; it may have %d", size, MaxMetadataBytes)
	}
	return nil
}

func (s lockSettings) effectiveMargin() time.Duration {
	if s.margin > 0 {
		return s.margin
	}
	return min(s.lease/10, time.Second)
}

// granted are the settings with the lease that the lock's policy allows. A margin that was meant for a longer one gives way.
func (s lockSettings) granted(lease time.Duration) lockSettings {
	if lease < s.lease {
		s.lease = lease
		if s.margin >= lease/2 {
			s.margin = 0
		}
	}
	return s
}

// newHolderID is 128 random bits: unique without asking anybody.
func newHolderID() string { return rand.Text() }

// newUUID is a random UUID, version 4.
func newUUID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
