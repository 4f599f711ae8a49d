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
	"os"
	"path/filepath"
	"slices"
	"time"

	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/mongolock/operator/hack/screen"
	"github.com/mongolock/operator/hack/servers"
	"github.com/mongolock/operator/hack/torture/plan"
)

const (
	startTimeout = 3 * time.Minute
	closeTimeout = 30 * time.Second
)

// rig is what all runs share: the servers, and a connection to the database past all faults.
type rig struct {
	settings settings
	screen   *screen.Screen
	database *servers.Server
	feed     *servers.Server
	driver   *mongo.Client
	stops    []func() error
}

// torture runs the controls and then the real lock, and says whether everything was as it should be.
func torture(ctx context.Context, screen *screen.Screen, s settings) (passed bool, err error) {
	r := &rig{settings: s, screen: screen}
	defer func() { err = errors.Join(err, r.close()) }()
	if err := r.setUp(ctx); err != nil {
		return false, err
	}
	screen.Say("seed %d: the same seed gives the same schedules", s.seed)
	report := &report{Seed: s.seed, Duration: s.duration.String()}
	if s.controls {
		if report.Controls, err = r.runControls(ctx); err != nil {
			return false, err
		}
	}
	if err := r.runLock(ctx, report); err != nil {
		return false, err
	}
	return r.conclude(report)
}

// conclude shows and writes the report.
func (r *rig) conclude(report *report) (passed bool, err error) {
	report.conclude()
	r.screen.Block("Result", report.table())
	return report.Passed, report.write(filepath.Join(r.settings.out, "report.json"))
}

func (r *rig) setUp(ctx context.Context) error {
	if err := os.RemoveAll(r.settings.out); err != nil {
		return err
	}
	if err := os.MkdirAll(r.settings.out, 0o755); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	r.screen.Say("Starting MongoDB and a feed store")
	defer r.screen.During(ctx, "starting servers")()
	var err error
	if os.Getenv("MONGODB_URI") == "" {
		r.database, err = servers.StartMongoDBWithClock(ctx)
	} else {
		r.database, err = servers.StartMongoDB(ctx)
	}
	if err != nil {
		return err
	}
	r.stops = append(r.stops, r.database.Stop)
	if r.feed, err = servers.StartFeed(ctx); err != nil {
		return err
	}
	r.stops = append(r.stops, func() error { return r.feed.Stop() })
	if r.driver, err = mongo.Connect(options.Client().ApplyURI(r.database.Address())); err != nil {
		return err
	}
	r.stops = append(r.stops, func() error {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
		defer cancel()
		return r.driver.Disconnect(ctx)
	})
	if err := r.driver.Ping(ctx, nil); err != nil {
		return err
	}
	r.leaveOutImpossible(ctx)
	return nil
}

// leaveOutImpossible removes the kinds of fault that this server cannot produce, and says so.
func (r *rig) leaveOutImpossible(ctx context.Context) {
	for kind, try := range map[string]func() error{
		plan.Database:  func() error { return r.database.Restart(ctx) },
		plan.Terminate: func() error { return r.database.TerminateBackends(ctx) },
		plan.Clock:     func() error { return r.database.MoveClock(ctx, 0) },
	} {
		if !slices.Contains(r.settings.kinds, kind) {
			continue
		}
		if err := try(); err != nil {
			// What the server cannot do it refuses, and goes on; otherwise it is gone, and the run will fail.
			r.screen.Say("Without the fault %q: %v", kind, err)
			r.settings.kinds = slices.DeleteFunc(r.settings.kinds, func(k string) bool { return k == kind })
		}
	}
}

// close stops everything, the last started first.
func (r *rig) close() error {
	var errs []error
	for _, stop := range slices.Backward(r.stops) {
		errs = append(errs, stop())
	}
	return errors.Join(errs...)
}

// databaseName is a database of this run's own.
func databaseName(what string) string {
	return fmt.Sprintf("torture_%s_%d", what, time.Now().UnixNano())
}
