/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package resourcelock

import (
	"sync"

	corev1 "k8s.io/api/core/v1"
	rl "k8s.io/client-go/tools/leaderelection/resourcelock"
)

// What the elector says through RecordEvent. The interface has no other signal for the begin and the end of a term; a test holds
// the linked client-go to these.
const (
	becameLeader   = "became leader"
	stoppedLeading = "stopped leading"
)

// maxPending is how many events wait for a recorder that hangs; further ones are dropped.
const maxPending = 16

// RecordEvent tells the lock that a term began or ended, and publishes it if there is a recorder. It never waits.
func (l *Lock) RecordEvent(what string) {
	switch what {
	case becameLeader:
		l.current().elected()
		l.ledBefore.Store(true)
	case stoppedLeading:
		// If the lease is still held it is left to expire: the elector was not told to release it, as its work may still run.
		l.current().giveUp()
	}
	l.events.publish(event{
		subject: &corev1.ObjectReference{
			APIVersion: resource.Group + "/v1alpha1",
			Kind:       "DistributedLock",
			Namespace:  l.config.Namespace,
			Name:       l.config.Name,
		},
		message: l.config.Identity + " " + what,
	})
}

type event struct {
	subject *corev1.ObjectReference
	message string
}

// publisher hands events to a recorder, in order, without making anybody wait. Its goroutine lives only while there is something
// to hand over.
type publisher struct {
	mu       sync.Mutex
	recorder rl.EventRecorder // nil: there is nobody to tell
	pending  []event
	running  bool
}

// useOtherwise sets the recorder, if there is none.
func (p *publisher) useOtherwise(recorder rl.EventRecorder) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.recorder == nil {
		p.recorder = recorder
	}
}

func (p *publisher) publish(e event) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.recorder == nil {
		return
	}
	if len(p.pending) == maxPending {
		return
	}
	p.pending = append(p.pending, e)
	if !p.running {
		p.running = true
		go p.run()
	}
}

func (p *publisher) run() {
	for {
		p.mu.Lock()
		if len(p.pending) == 0 {
			p.running = false
			p.mu.Unlock()
			return
		}
		e, recorder := p.pending[0], p.recorder
		p.pending = p.pending[1:]
		p.mu.Unlock()
		recorder.Eventf(e.subject, corev1.EventTypeNormal, "LeaderElection", "%s", e.message)
	}
}
