//go:build linux

/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package main

import (
	"errors"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/mongolock/operator/pkg/mongolock"
)

func at(seconds float64) stamp { return stamp(seconds * float64(time.Second)) }

func expectCheck(t *testing.T, c check, ok bool) {
	t.Helper()
	if c.ok != ok {
		t.Errorf("ok is %t, want %t: %s", c.ok, ok, c)
	}
}

func TestCheckElection(t *testing.T) {
	one := func(begin float64) sample {
		return sample{begin: at(begin), end: at(begin + .01), leaders: []string{"a"}}
	}
	none := func(begin float64) sample { return sample{begin: at(begin), end: at(begin + .01)} }
	two := func(begin float64) sample {
		return sample{begin: at(begin), end: at(begin + .01), leaders: []string{"a", "b"}}
	}
	silent := sample{begin: at(1), end: at(1.01), leaders: []string{"a"}, failures: []error{errors.New("refused")}}
	across := sample{begin: at(4.995), end: at(5.005), failures: []error{errors.New("reset")}}
	kill := &takeover{killed: at(5), seen: at(10)}
	tests := []struct {
		name    string
		samples []sample
		kill    *takeover
		least   int
		ok      bool
	}{
		{"one leads", []sample{one(1), one(2)}, nil, 2, true},
		{"a takeover", []sample{one(1), none(6), none(9), one(11)}, kill, 2, true},
		{"looked at while it was killed", []sample{one(1), across, one(11)}, kill, 2, true},
		{"nothing was sampled", nil, kill, 0, false},
		{"too few samples", []sample{one(1)}, nil, 2, false},
		{"samples of the takeover only", []sample{none(6), none(7)}, kill, 2, false},
		{"nobody leads", []sample{one(1), none(2), one(3)}, nil, 1, false},
		{"nobody leads before the kill", []sample{one(1), none(4), one(11)}, kill, 1, false},
		{"nobody leads after the takeover", []sample{one(1), none(10.5), one(11)}, kill, 1, false},
		{"two lead", []sample{one(1), two(2)}, nil, 1, false},
		{"two lead during the takeover", []sample{one(1), two(6), one(11)}, kill, 1, false},
		{"an operator is silent", []sample{silent, one(2), one(3)}, nil, 1, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) { expectCheck(t, checkElection(tt.samples, tt.kill, tt.least), tt.ok) })
	}
}

func TestCheckExclusion(t *testing.T) {
	both := []hold{
		{"w1", workerLocks[0], 1, at(0), at(2)}, {"w2", workerLocks[0], 2, at(2), at(4)},
		{"w2", workerLocks[1], 9, at(1), at(2)},
	}
	overlap := append([]hold{{"w3", workerLocks[0], 3, at(3.9), at(5)}}, both...)
	waited := []report{{What: waits}}
	expectCheck(t, checkExclusion(both, waited), true)
	expectCheck(t, checkExclusion(both, nil), false)        // nobody wanted the same lock
	expectCheck(t, checkExclusion(both[:2], waited), false) // one lock was not used
	expectCheck(t, checkExclusion(nil, waited), false)      // nothing was held
	expectCheck(t, checkExclusion(overlap, waited), false)  // two held
	expectCheck(t, checkExclusion(overlap[1:], waited), true)
}

func event(seq int64, what mongolock.EventType, token int64) mongolock.Event {
	return mongolock.Event{Seq: seq, Type: what, Token: token}
}

func TestCheckHistory(t *testing.T) {
	const got, gone, late = mongolock.EventAcquired, mongolock.EventReleased, mongolock.EventExpired
	tests := []struct {
		name   string
		events []mongolock.Event
		grants int
		fault  string
	}{
		{"good", []mongolock.Event{event(1, got, 5), event(2, gone, 5), event(3, got, 6), event(4, late, 6), event(5, got, 9)}, 3, ""},
		{"nothing", nil, 0, ""},
		{"two holders", []mongolock.Event{event(1, got, 5), event(2, got, 6)}, 2, "token 6 was granted while 5 held"},
		{"same token", []mongolock.Event{event(1, got, 5), event(2, gone, 5), event(3, got, 5)}, 2, "token 5 was granted after 5"},
		{"smaller token", []mongolock.Event{event(1, got, 5), event(2, gone, 5), event(3, got, 4)}, 2, "token 4 was granted after 5"},
		{"another's release", []mongolock.Event{event(1, got, 5), event(2, gone, 4)}, 1, "token 4 released while 5 held"},
		{"release of a free lock", []mongolock.Event{event(1, got, 5), event(2, late, 5), event(3, gone, 5)}, 1, "token 5 released while 0 held"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if grants, fault := checkHistory(tt.events); grants != tt.grants || fault != tt.fault {
				t.Errorf("got %d, %q; want %d, %q", grants, fault, tt.grants, tt.fault)
			}
		})
	}
}

func TestCheckTokens(t *testing.T) {
	seen := func(locks ...string) picture {
		p := picture{history: map[string][]mongolock.Event{}}
		for _, lock := range locks {
			p.history[lock] = []mongolock.Event{event(1, mongolock.EventAcquired, 7)}
		}
		return p
	}
	all := append([]string{leaderLock}, workerLocks...)
	rising := []hold{{"w1", "a", 1, at(0), at(1)}, {"w2", "a", 2, at(1), at(2)}, {"w2", "b", 1, at(3), at(4)}}
	falling := []hold{{"w1", "a", 2, at(0), at(1)}, {"w2", "a", 1, at(1), at(2)}}
	equal := []hold{{"w1", "a", 2, at(0), at(1)}, {"w2", "a", 2, at(1), at(2)}}
	missed := seen(all...)
	missed.missed = 1
	broken := seen(all...)
	broken.history[leaderLock] = []mongolock.Event{event(1, mongolock.EventReleased, 7)}
	expectCheck(t, checkTokens(rising, seen(all...)), true)
	expectCheck(t, checkTokens(falling, seen(all...)), false)
	expectCheck(t, checkTokens(equal, seen(all...)), false)
	expectCheck(t, checkTokens(rising, seen(all[:2]...)), false)
	expectCheck(t, checkTokens(rising, missed), false)
	expectCheck(t, checkTokens(rising, broken), false)
}

func TestCheckTakeover(t *testing.T) {
	good := takeover{lock: "demo/a", from: "w1", to: "w2", holder: "w2", before: 5, next: 6, killed: at(1), seen: at(5), bound: 8 * time.Second}
	history := map[string][]mongolock.Event{"demo/a": {event(1, mongolock.EventAcquired, 5), event(2, mongolock.EventExpired, 5)}}
	expectCheck(t, checkTakeover("", &good, history), true)
	expectCheck(t, checkTakeover("", nil, history), false)
	expectCheck(t, checkTakeover("", &good, map[string][]mongolock.Event{"demo/a": {event(1, mongolock.EventReleased, 5)}}), false)
	for name, spoil := range map[string]func(*takeover){
		"nobody":         func(t *takeover) { t.to = "" },
		"the dead":       func(t *takeover) { t.to = t.from },
		"the same token": func(t *takeover) { t.next = t.before },
		"late":           func(t *takeover) { t.seen = t.killed + stamp(t.bound) + 1 },
		"before":         func(t *takeover) { t.seen = t.killed - 1 },
	} {
		bad := good
		spoil(&bad)
		t.Run(name, func(t *testing.T) { expectCheck(t, checkTakeover("", &bad, history), false) })
	}
}

func TestCheckEvents(t *testing.T) {
	kubeEvent := func(name, reason, message string) corev1.Event {
		return corev1.Event{
			InvolvedObject: corev1.ObjectReference{Namespace: "demo", Name: name}, Reason: reason, Message: message,
		}
	}
	kill := &takeover{lock: "demo/a", before: 17}
	events := []corev1.Event{
		kubeEvent("a", "LockAcquired", ""), kubeEvent("a", "LockReleased", ""),
		kubeEvent("a", "LockExpired", `The lease of "w" with token 17 ended without a release`),
	}
	expectCheck(t, checkEvents(events, kill), true)
	expectCheck(t, checkEvents(events, kill, nil), false)
	expectCheck(t, checkEvents(events, &takeover{lock: "demo/b", before: 17}), false)
	expectCheck(t, checkEvents(events, &takeover{lock: "demo/a", before: 1}), false)
	for i := range events {
		expectCheck(t, checkEvents(append(events[:i:i], events[i+1:]...)), false)
	}
}

func TestOutcomeFailsWithOneCheck(t *testing.T) {
	var text strings.Builder
	s := &screen{out: &text}
	good, bad := check{what: "a", ok: true}, check{what: "b", detail: "no"}
	if code := (outcome{checks: []check{good}}).print(s); code != 0 {
		t.Errorf("exit code %d without a failure", code)
	}
	if code := (outcome{checks: []check{good, bad}}).print(s); code != 1 || !strings.Contains(text.String(), "FAILED  b: no\n") {
		t.Errorf("exit code %d with a failure: %s", code, text.String())
	}
}
