//go:build linux

/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package main

import "github.com/mongolock/operator/hack/bench/gauge"

// transition is an acquisition or a release that a client made.
type transition struct {
	lock     int
	position int64
	at       int64 // when the client's call had returned
}

// sighting is a status of one lock that the API server told of.
type sighting struct{ position, at int64 }

// positionOf numbers the states of one lock in the order in which they follow each other: token 7 held, token 7 gone, token 8 held. Tokens
// only grow. A status at a position tells of all transitions up to it: what came and went in between two writes is not lost, the status
// lists the last events.
func positionOf(token int64, held bool) int64 {
	if held {
		return 2 * token
	}
	return 2*token + 1
}

// sightings are those of each lock, in order of time.
type sightings map[int][]sighting

// first returns when a status first told of the transition.
func (s sightings) first(t transition) (at int64, ok bool) {
	for _, seen := range s[t.lock] {
		if seen.position >= t.position {
			return seen.at, true
		}
	}
	return 0, false
}

// match finds the time from each transition to the first status that tells of it, and how many no status has told of. A time is negative if
// the status was there before the client's call had returned.
func (s sightings) match(all []transition) (took gauge.Samples, unseen int) {
	for _, t := range all {
		at, ok := s.first(t)
		if !ok {
			unseen++
			continue
		}
		took = append(took, duration(at-t.at))
	}
	return took, unseen
}

// behind counts the transitions that no status had told of at that time.
func (s sightings) behind(all []transition, at int64) (n int) {
	for _, t := range all {
		if seen, ok := s.first(t); !ok || seen > at {
			n++
		}
	}
	return n
}
