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
	"os"
	"path/filepath"
	"time"

	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/mongolock/operator/hack/task"
	"github.com/mongolock/operator/hack/torture/audit"
	"github.com/mongolock/operator/hack/torture/check"
	"github.com/mongolock/operator/hack/torture/crew"
	"github.com/mongolock/operator/hack/torture/history"
	"github.com/mongolock/operator/hack/torture/nemesis"
	"github.com/mongolock/operator/hack/torture/plan"
	"github.com/mongolock/operator/hack/torture/resource"
	"github.com/mongolock/operator/hack/torture/worker"
	"github.com/mongolock/operator/pkg/mongolock"
)

const (
	// restTime is how long the workers go on watching after the load: a watcher is told of an expiry within two seconds.
	restTime = 6 * time.Second
	stopTime = 40 * time.Second
)

// run is one crew at work.
type run struct {
	rig      *rig
	name     string
	folder   string
	database *mongo.Database
	history  *history.Writer
	crew     *crew.Crew
	resource *resource.Server
	auditor  *audit.Auditor // nil for controls
	admin    *mongolock.Client
	began    history.Stamp
}

// newRun makes a folder, a database, a resource and a crew. It must be closed.
func (r *rig) newRun(name string, guarded bool, size int, orders func(int) worker.Orders) (*run, error) {
	n := &run{rig: r, name: name, folder: filepath.Join(r.settings.out, name), database: r.driver.Database(databaseName(name))}
	if err := os.MkdirAll(n.folder, 0o755); err != nil {
		return nil, err
	}
	var err error
	if n.history, err = history.Create(filepath.Join(n.folder, "rig.jsonl")); err != nil {
		return nil, err
	}
	// The path of a socket is limited to 107 bytes, which that of the folder may exceed.
	sockets, err := os.MkdirTemp("", "torture")
	if err != nil {
		return nil, err
	}
	r.stops = append(r.stops, func() error { return os.RemoveAll(sockets) })
	socket := filepath.Join(sockets, "resource")
	if n.resource, err = resource.Serve(socket, guarded, n.history); err != nil {
		return nil, err
	}
	n.crew, err = crew.New(crew.Config{
		Size: size, URI: r.database.Address(), FeedURI: r.feed.Address(), History: n.history, Folder: n.folder,
		Orders: func(number int) worker.Orders {
			o := orders(number)
			o.Seed, o.Database, o.Resource = r.settings.seed, n.database.Name(), socket
			return o
		},
	})
	return n, err
}

// work lets the crew work for a while, under the scheduled faults.
func (n *run) work(ctx context.Context, duration time.Duration, faults []plan.Fault, tell func(history.Fault)) error {
	start, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	if err := n.crew.Start(start); err != nil {
		return err
	}
	n.began = history.Now()
	nem := &nemesis.Nemesis{
		Crew: n.crew, Database: n.rig.database, Feed: n.rig.feed, Auditor: n.auditor, Collections: n.collections(),
		Declare: n.declare, History: n.history, Tell: tell,
	}
	err := nem.Run(ctx, n.began, faults)
	if err == nil {
		task.Wait(ctx, n.began.Add(duration).Sub(history.Now()))
	}
	n.history.Write(history.Record{Span: &history.Span{Begin: n.began, End: history.Now()}})
	n.crew.Rest()
	if err == nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		return err
	}
	task.Wait(ctx, restTime)
	stop, cancel := context.WithTimeout(ctx, stopTime)
	defer cancel()
	if err := n.crew.Stop(stop); err != nil && ctx.Err() == nil {
		n.history.Write(history.Record{Leftover: &history.Leftover{What: err.Error()}})
		return nil
	}
	return context.Cause(ctx)
}

func (n *run) collections() map[string]*mongo.Collection {
	collections := map[string]*mongo.Collection{}
	for name, locks := range allLocks() {
		for _, lock := range locks {
			collections[lock] = n.database.Collection(name)
		}
	}
	return collections
}

// declare sets the policy of a lock that has one.
func (n *run) declare(ctx context.Context, lock string) error {
	if !sharedLocks[lock] {
		return nil
	}
	return n.admin.SetPolicy(ctx, lock, mongolock.Policy{Capacity: sharedCapacity})
}

// judge reads the history and judges it.
func (n *run) judge(ctx context.Context, rules check.Rules) (*history.History, check.Verdict, error) {
	if err := n.history.Close(); err != nil {
		return nil, check.Verdict{}, err
	}
	return judgeFiles(ctx, append(n.crew.Files(), filepath.Join(n.folder, "rig.jsonl")), rules)
}

// judgeFiles reads a history and judges it. When ctx ends that is left to itself, as the process ends.
func judgeFiles(ctx context.Context, files []string, rules check.Rules) (*history.History, check.Verdict, error) {
	h, err := history.Read(files...)
	if err != nil {
		return nil, check.Verdict{}, err
	}
	verdict := make(chan check.Verdict, 1)
	go func() { verdict <- check.Judge(h, rules) }()
	select {
	case v := <-verdict:
		return h, v, nil
	case <-ctx.Done():
		return nil, check.Verdict{}, context.Cause(ctx)
	}
}

func (n *run) close(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
	defer cancel()
	n.crew.Close()
	errs := []error{n.resource.Close()}
	if n.admin != nil {
		errs = append(errs, n.admin.Close(ctx))
	}
	return errors.Join(append(errs, n.database.Drop(ctx))...)
}
