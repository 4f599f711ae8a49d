//go:build linux

/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/mongolock/operator/api/v1alpha1"
	"github.com/mongolock/operator/hack/task"
	"github.com/mongolock/operator/pkg/mongolock"
)

// settleTimeout bounds how long Kubernetes may lag behind in the end.
const settleTimeout = 15 * time.Second

// settle brings the locks to rest, one of them held, and waits until Kubernetes shows what MongoDB has and the events have come.
func (d *demo) settle(ctx context.Context, takeovers ...*takeover) (rows []row, mirror, events check, err error) {
	if err := d.rest(ctx); err != nil {
		return nil, mirror, events, err
	}
	for deadline := time.Now().Add(settleTimeout); ; task.Wait(ctx, 500*time.Millisecond) {
		var objects v1alpha1.DistributedLockList
		if err := d.kubectl.get(ctx, &objects, "dlock", "--namespace="+namespace); err != nil {
			return nil, mirror, events, err
		}
		var list corev1.EventList
		if err := d.kubectl.get(ctx, &list, "events", "--namespace="+namespace); err != nil {
			return nil, mirror, events, err
		}
		rows, differences := compare(objects.Items, d.observer.picture().states)
		mirror, events = checkMirror(rows, differences), checkEvents(list.Items, takeovers...)
		if mirror.ok && events.ok || time.Now().After(deadline) {
			return rows, mirror, events, nil
		}
	}
}

// rest stops all workers but one, which takes a lock and keeps it.
func (d *demo) rest(ctx context.Context) error {
	var keeper *process
	for _, name := range workerNames {
		if w := d.workers[name]; w.Alive() {
			if keeper == nil {
				keeper = w
			} else if err := w.stop(); err != nil {
				return err
			}
		}
	}
	if keeper == nil {
		return errors.New("no worker is left")
	}
	lock := workerLocks[0]
	d.screen.say("The workers end, except %s, which now keeps %s.", keeper.name, lock)
	from := len(d.journal.all())
	asked := now()
	if _, err := fmt.Fprintln(keeper.stdin, "keep "+lock); err != nil {
		return fmt.Errorf("tell %s what to keep: %w", keeper.name, err)
	}
	waiting, cancel := context.WithTimeout(ctx, settleTimeout)
	defer cancel()
	kept, err := d.journal.next(waiting, from, func(r report) bool {
		return r.Worker == keeper.name && r.What == acquired && r.Lock == lock && r.At > asked
	})
	if err != nil {
		return fmt.Errorf("wait until %s keeps %s: %w", keeper.name, lock, err)
	}
	_, err = d.observer.await(waiting, lock, func(s mongolock.State) bool { return s.Token == kept.Token })
	return err
}

// showObjects prints what a user would ask for.
func (d *demo) showObjects(ctx context.Context) error {
	for _, args := range [][]string{
		{"get", "dlock", "-A", "-o", "wide"},
		{"describe", "dlock", "report", "-n", namespace},
	} {
		out, err := d.kubectl.run(ctx, args...)
		if err != nil {
			return err
		}
		d.screen.block("$ kubectl "+strings.Join(args, " "), out)
	}
	return nil
}
