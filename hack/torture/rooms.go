//go:build linux

/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package main

import (
	"slices"

	"github.com/mongolock/operator/hack/torture/plan"
	"github.com/mongolock/operator/hack/torture/worker"
)

// The collections, and the locks in them: ten locks, with that of the election.
const (
	mainRoom = "locks"
	bellRoom = "bells" // its clients have a doorbell
	election = "torture/leader"
)

var (
	mainLocks   = []string{"mutex/1", "mutex/2", "mutex/3", "mutex/4", "shared/1", "shared/2", "shared/3"}
	sharedLocks = map[string]bool{"shared/1": true, "shared/2": true, "shared/3": true}
	bellLocks   = []string{"bell/1", "bell/2"}
)

// sharedCapacity is how many holders the shared locks have at most.
const sharedCapacity = 3

// candidates is how many workers stand for leadership.
const candidates = 4

// allLocks are the locks by collection.
func allLocks() map[string][]string {
	return map[string][]string{mainRoom: append(slices.Clone(mainLocks), election), bellRoom: bellLocks}
}

// breakable are the locks whose documents may be broken: all.
func breakable() []string { return slices.Concat(mainLocks, bellLocks, []string{election}) }

// orders are those of a worker of the real lock.
func orders(number int) worker.Orders {
	o := worker.Orders{Rooms: []worker.Room{
		{Collection: mainRoom, Sessions: 3, Locks: plan.Locks{Names: mainLocks, Shared: sharedLocks}},
		{Collection: bellRoom, Sessions: 1, Feed: true, Locks: plan.Locks{Names: bellLocks}},
	}}
	if number < candidates {
		o.Election = election
	}
	return o
}
