/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package resourcelock

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/manager"
)

// recorderName is who reports the events of an election.
const recorderName = "mongolock"

var errNoElection = invalid("LeaderElection is off in the manager's options, or has another lock: every replica would lead, without having asked the lock")

// managerRecorder is a manager's recorder of events, for a lock.
type managerRecorder struct{ events.EventRecorder }

// Eventf implements client-go's resourcelock.EventRecorder.
func (r managerRecorder) Eventf(object runtime.Object, eventType, reason, message string, args ...any) {
	r.EventRecorder.Eventf(object, nil, eventType, reason, "Elect", message, args...)
}

// Run starts a manager that was made with [ConfigureManager]. It returns when the manager has stopped, with what its Start returned,
// or at once when leadership is lost, with an error that matches [mongolock.ErrLeaseLost]. The process has to exit then, as somebody
// else may lead already: the manager is not waited for, because the elector keeps its controllers running for up to the renew
// deadline plus the retry period after a loss, and a runnable that does not stop would keep it for ever. A manager that leads without having
// asked the lock, because somebody has switched LeaderElection off again, is stopped, and the error matches [mongolock.ErrInvalid].
func (l *Lock) Run(ctx context.Context, mgr manager.Manager) error {
	if opts := l.manager; opts != nil && (!opts.LeaderElection || opts.LeaderElectionResourceLockInterface == nil) {
		return errNoElection
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	l.events.useOtherwise(managerRecorder{mgr.GetEventRecorder(recorderName)})
	stopped := make(chan error, 1)
	go func() { stopped <- mgr.Start(ctx) }() // ends with the manager, or with the process
	t := l.current()
	select {
	case err := <-stopped:
		return err
	case <-mgr.Elected():
		if t = l.current(); t.now().lease == nil {
			return errNoElection
		}
	case <-t.ended:
	}
	select {
	case err := <-stopped:
		return err
	case <-t.ended:
	}
	if loss := t.lost(); loss != nil {
		return fmt.Errorf("resourcelock: %s: leadership was lost: %w", l.id, loss)
	}
	return <-stopped // given up: the manager has stopped its runnables and is about to return
}
