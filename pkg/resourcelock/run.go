/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package resourcelock

import (
	"context"
	"fmt"

	"sigs.k8s.io/controller-runtime/pkg/manager"
)

// Run starts a manager that was made with [ConfigureManager]. It returns when the manager has stopped, with what its Start returned,
// or at once when leadership is lost, with an error that matches [mongolock.ErrLeaseLost]. The process has to exit then, as somebody
// else may lead already: the manager is not waited for, because the elector keeps its controllers running for up to the renew
// deadline plus the retry period after a loss, and a runnable that does not stop would keep it for ever.
func (l *Lock) Run(ctx context.Context, mgr manager.Manager) error {
	stopped := make(chan error, 1)
	go func() { stopped <- mgr.Start(ctx) }() // ends with the manager, or with the process
	t := l.current()
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
