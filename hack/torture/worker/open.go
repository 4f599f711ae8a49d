//go:build linux

/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package worker

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/mongolock/operator/hack/torture/controls"
	"github.com/mongolock/operator/hack/torture/history"
	"github.com/mongolock/operator/hack/torture/locker"
	"github.com/mongolock/operator/hack/torture/plan"
	"github.com/mongolock/operator/pkg/mongolock"
)

// open connects to a room and starts its sessions, its watcher and, in the first room, the candidate.
func (w *Worker) open(ctx, load, watch context.Context, number int, sessions, watchers *sync.WaitGroup) error {
	room := w.orders.Rooms[number]
	ctx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	if w.orders.Control != "" {
		control, err := controls.Open(ctx, w.orders.Control, w.orders.URI, w.orders.Database, w.orders.ClockError)
		if err != nil {
			return err
		}
		w.closers = append(w.closers, control.Close)
		w.startSessions(load, sessions, number, control, nil)
		return nil
	}
	client, err := w.connect(ctx, room)
	if err != nil {
		return err
	}
	w.closers = append(w.closers, client.Close)
	w.startSessions(load, sessions, number, locker.Mongolock{Client: client}, client)
	watcher, err := client.Watch(watch)
	if err != nil {
		return err
	}
	name := fmt.Sprintf("w%d.%d-%d", w.orders.Worker, w.orders.Incarnation, number)
	locks := slices.Clone(room.Locks.Names)
	if number == 0 && w.orders.Election != "" {
		locks = append(locks, w.orders.Election)
	}
	w.history.Write(history.Record{Watch: &history.Watch{Watcher: name, Locks: locks}})
	watchers.Go(func() { w.watch(name, watcher) })
	if number == 0 && w.orders.Election != "" {
		sessions.Go(func() { w.stand(load, client) })
	}
	return nil
}

// connect makes a client. Also while the server is down, as a worker may be started anew at any time.
func (w *Worker) connect(ctx context.Context, room Room) (*mongolock.Client, error) {
	options := []mongolock.Option{
		mongolock.WithDatabase(w.orders.Database), mongolock.WithCollection(room.Collection),
		mongolock.WithRetryPeriod(RetryPeriod), mongolock.WithDeferredCheck(),
	}
	if room.Feed {
		options = append(options, mongolock.WithFeed(w.orders.FeedURI, "", ""))
	}
	return mongolock.Connect(ctx, w.orders.URI, options...)
}

func (w *Worker) startSessions(load context.Context, running *sync.WaitGroup, room int, l locker.Locker, admin *mongolock.Client) {
	for i := range w.orders.Rooms[room].Sessions {
		number := 100*room + i
		s := &session{
			worker: w, locker: l, admin: admin, name: fmt.Sprintf("w%d.%d-%d", w.orders.Worker, w.orders.Incarnation, number),
			steps: plan.NewSession(w.orders.Seed, w.orders.Worker, w.orders.Incarnation, number, w.orders.Rooms[room].Locks),
		}
		running.Go(func() { s.run(load) })
	}
}

// watch records what a watcher is told.
func (w *Worker) watch(name string, watcher *mongolock.Watcher) {
	for change := range watcher.Changes() {
		c := history.Change{
			Watcher: name, Lock: change.State.ID, At: history.Now(),
			Exists: change.State.Exists, Seq: change.State.Seq, Missed: change.Missed,
		}
		for _, e := range change.Events {
			c.Events = append(c.Events, history.Event{Seq: e.Seq, Type: string(e.Type), Owner: e.Owner, Token: e.Token})
		}
		w.history.Write(history.Record{Change: &c})
	}
}
