/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package controllers

import (
	"errors"
	"time"

	"k8s.io/utils/clock"

	"github.com/mongolock/operator/api/v1alpha1"
	"github.com/mongolock/operator/pkg/mongolock"
)

// patience is how long the feed must fail before that counts as an outage: a failover of a replica set takes a few seconds and
// should not touch every object twice.
const patience = 5 * time.Second

// verdictLasts is for how long what a server has said stands against tries that it did not answer: one that refuses a password and is
// slow besides is not one that cannot be reached, and objects should not be written for each change between the two.
const verdictLasts = 10 * time.Second

// storeMessages are what objects say about a store that does not work. They are fixed: a driver's error can hold addresses and
// credentials, and one that changes from try to try would be written again and again.
var storeMessages = map[string]string{
	v1alpha1.ReasonStoreUnreachable: "MongoDB does not answer the operator; the rest of this status is the last that was known. " +
		"Check that MongoDB runs and that the hosts and the TLS settings of the operator's connection string are right.",
	v1alpha1.ReasonStoreUnauthorized: "MongoDB refused the operator's credentials, or they lack a privilege; the rest of this status is the " +
		"last that was known. Check user, password and authSource of the connection string, and the role (readWrite on the database).",
	v1alpha1.ReasonStoreUnsupported: "The server refused a command of the lock engine; the rest of this status is the last that was known. " +
		"The operator's log names the command. Use MongoDB 4.4 or later, or a compatible server that has pipeline updates.",
	v1alpha1.ReasonStoreNotConfigured: "The operator has no usable MongoDB connection string; the rest of this status is the last that was " +
		"known. Put one into the Secret that the operator mounts (the file of --mongodb-uri-file), or into MONGODB_URI.",
}

// Phase is what the mirror thinks of the store.
type Phase int

const (
	// Settling means not known yet, at the start and while a failure has not lasted for long. Nothing is written meanwhile.
	Settling Phase = iota
	// Healthy means that the feed works, and the mirror shows what MongoDB has.
	Healthy
	// Failed means that the feed has not worked for some seconds.
	Failed
)

// Health is the state of the store as the mirror sees it.
type Health struct {
	Phase Phase
	// Reason is one of the ReasonStore constants while Phase is Failed.
	Reason string
	// Since is when the store last worked, while Phase is Failed, or when it was found that there is none.
	Since time.Time
	// Outage counts this process's outages; it tells one from the next.
	Outage int
}

// Failed tells whether the store is in an outage.
func (h Health) Failed() bool { return h.Phase == Failed }

// storeReason sorts an error of the feed into the few reasons that objects show.
func storeReason(err error) string {
	switch {
	case errors.Is(err, mongolock.ErrUnauthorized):
		return v1alpha1.ReasonStoreUnauthorized
	case errors.Is(err, mongolock.ErrUnreachable), errors.Is(err, mongolock.ErrOutcomeUnknown):
		return v1alpha1.ReasonStoreUnreachable
	default:
		// An unsupported server, or one that refuses a command without a reason of its own.
		return v1alpha1.ReasonStoreUnsupported
	}
}

// isStoreReason tells whether the condition Ready has this reason because of an outage.
func isStoreReason(reason string) bool {
	_, ok := storeMessages[reason]
	return ok
}

// healthTracker turns the outcome of each look at the store into a Health that does not flap. It is not safe for concurrent use.
type healthTracker struct {
	clock  clock.PassiveClock
	health Health
	// since is when the store last answered without an error, be it in the midst of reading, or when the tracker started.
	since time.Time
	// verdict is the last reason that the server itself has given, at verdictAt; empty since it last worked.
	verdict   string
	verdictAt time.Time
}

func newHealthTracker(c clock.PassiveClock) *healthTracker {
	return &healthTracker{clock: c, since: c.Now()}
}

// observe takes in one look: its error, and whether the feed has read all locks once. It tells whether the health changed.
func (t *healthTracker) observe(err error, synced bool) bool {
	before := t.health
	reason := t.reason(err)
	switch {
	case err == nil && synced:
		t.since = t.clock.Now()
		t.verdict = ""
		t.health.Phase, t.health.Reason, t.health.Since = Healthy, "", time.Time{}
	case err == nil:
		// It is reading, which may take a while; that ends no outage, and begins none.
		t.since = t.clock.Now()
	case t.clock.Since(t.since) < patience:
		t.health.Phase = Settling
	default:
		if t.health.Phase != Failed {
			t.health.Outage++
			t.health.Since = t.since
		}
		t.health.Phase, t.health.Reason = Failed, reason
	}
	return t.health != before
}

// reason sorts an error, with what the server said a moment ago.
func (t *healthTracker) reason(err error) string {
	if err == nil {
		return ""
	}
	reason := storeReason(err)
	if reason != v1alpha1.ReasonStoreUnreachable {
		t.verdict, t.verdictAt = reason, t.clock.Now()
	} else if t.verdict != "" && t.clock.Since(t.verdictAt) < verdictLasts {
		return t.verdict
	}
	return reason
}
