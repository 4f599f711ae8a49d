/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package faultproxy

import (
	"sync"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// Kind says what a Fault does to a command.
type Kind int

// The kinds of fault. "Fires" is the moment at which Injection.Fired is closed.
const (
	// DropRequest closes the connection before the request reaches the server. It fires when the request is dropped:
	// the server never sees it.
	DropRequest Kind = iota + 1
	// DropReply lets the server apply the request, swallows the reply and closes the connection. It fires when the
	// reply has arrived, so the command has been applied.
	DropReply
	// HoldRequest keeps the request away from the server for Fault.For, or until Release; then it goes on to the server,
	// also when the client has given up in between: a late write. It fires when the hold begins.
	HoldRequest
	// HoldReply lets the server apply the request and keeps the reply back for Fault.For, or until Release; the
	// connection stays open and silent. It fires when the reply has arrived, so the command has been applied.
	HoldReply
)

// Fault describes what goes wrong with which command.
type Fault struct {
	// Kind is what happens. Required.
	Kind Kind
	// Command is the exact name of the command, the first key of its document: "findAndModify", "update", "hello".
	// Empty matches every command, handshakes and heartbeats included.
	Command string
	// Match, if set, must also be true. It gets the command as one document, with bulk data ("updates", "documents")
	// as arrays in it, and must not keep it. It must not call the proxy. The legacy OP_QUERY never matches.
	Match func(command bson.Raw) bool
	// Skip lets this many matching commands pass first. Default 0.
	Skip int
	// Times is how many matching commands are hit before the fault is spent. Default 1.
	Times int
	// For bounds the hold of HoldRequest and HoldReply. Default 0: until Release, Reset or Close.
	For time.Duration
}

// Injection is a Fault at work in a Proxy.
type Injection struct {
	spec     Fault
	fired    chan struct{}
	done     chan struct{}
	released chan struct{}

	mu      sync.Mutex
	matched int // matching commands seen, skipped ones included
	hits    int // commands for which the fault has fired
	ended   int // commands with which the fault is through
}

func newInjection(f Fault) *Injection {
	if f.Times == 0 {
		f.Times = 1
	}
	return &Injection{
		spec:  f,
		fired: make(chan struct{}), done: make(chan struct{}), released: make(chan struct{}),
	}
}

// Fired is closed when the fault fires for the first time.
func (i *Injection) Fired() <-chan struct{} { return i.fired }

// Done is closed when the fault has run its course for the last of its Times commands: the connection is closed, or the
// held message was delivered, and a held request was answered by the server.
func (i *Injection) Done() <-chan struct{} { return i.done }

// Count returns how many commands the fault has fired for.
func (i *Injection) Count() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.hits
}

// Release ends the holds of this fault, present and future ones. It may be called more than once.
func (i *Injection) Release() {
	i.mu.Lock()
	defer i.mu.Unlock()
	select {
	case <-i.released:
	default:
		close(i.released)
	}
}

// takes says whether the fault hits this command, and counts it.
func (i *Injection) takes(name string, command bson.Raw) bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.matched >= i.spec.Skip+i.spec.Times ||
		i.spec.Command != "" && i.spec.Command != name ||
		i.spec.Match != nil && (command == nil || !i.spec.Match(command)) {
		return false
	}
	i.matched++
	return i.matched > i.spec.Skip
}

func (i *Injection) fire() {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.hits++; i.hits == 1 {
		close(i.fired)
	}
}

func (i *Injection) end() {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.ended++; i.ended == i.spec.Times {
		close(i.done)
	}
}

// hold waits until the hold is over, and says false if the connection closed first.
func (i *Injection) hold(closed <-chan struct{}) bool {
	var expired <-chan time.Time
	if i.spec.For > 0 {
		timer := time.NewTimer(i.spec.For)
		defer timer.Stop()
		expired = timer.C
	}
	select {
	case <-i.released:
		return true
	case <-expired:
		return true
	case <-closed:
		return false
	}
}
