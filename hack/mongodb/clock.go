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
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	// fakeTime is the library that PostgreSQL gets the time from when its clock can be moved, inside its folder.
	fakeTime = "/usr/lib/*/faketime/libfaketimeMT.so.1"
	// offsetFile says how far that time is from the real one, in the folder of the run.
	offsetFile = "clock"
	// clockTolerance is for the rounding of times and offsets.
	clockTolerance = time.Millisecond
)

// A clock is the one that PostgreSQL reads. The zero value is the machine's own.
type clock struct {
	library string // as PostgreSQL sees it
	file    string
}

// newClock makes a clock that shows the real time until it is moved, for a PostgreSQL inside root.
func newClock(root, dir string) (clock, error) {
	found, err := filepath.Glob(root + fakeTime)
	if err != nil || len(found) != 1 {
		return clock{}, errors.Join(fmt.Errorf("%s has no libfaketime", root), err)
	}
	library, err := filepath.Rel(root, found[0])
	if err != nil {
		return clock{}, err
	}
	c := clock{library: "/" + library, file: filepath.Join(dir, offsetFile)}
	return c, c.set(0)
}

// environment makes PostgreSQL, which sees the folder of the run at inside, read the clock. Left alone are the monotonic
// time, by which it waits, and the times of files.
func (c clock) environment(inside string) []string {
	if c.library == "" {
		return nil
	}
	return []string{
		"LD_PRELOAD=" + c.library,
		"FAKETIME_TIMESTAMP_FILE=" + inside + "/" + offsetFile,
		// It looks into the file each time, so that running backends see a move at once. That makes a findAndModify
		// 10 to 20 % slower. The shortest time for which it could remember the file is a second.
		"FAKETIME_NO_CACHE=1",
		"FAKETIME_DONT_FAKE_MONOTONIC=1", "DONT_FAKE_MONOTONIC=1", "NO_FAKE_STAT=1",
		// Without shared memory, which it would name after the process id: two servers may have the same, in namespaces.
		"FAKETIME_DISABLE_SHM=1",
	}
}

// set replaces the file as a whole: it is being read all the time.
func (c clock) set(offset time.Duration) error {
	next := c.file + ".next"
	if err := os.WriteFile(next, fmt.Appendf(nil, "%+.9f\n", offset.Seconds()), 0o644); err != nil {
		return err
	}
	return errors.Join(os.Chmod(next, 0o644), os.Rename(next, c.file)) // whatever the umask: another user reads it
}

// move is the handler of the request to move the clock.
func (c clock) move(ctx context.Context, argument string) error {
	offset, err := time.ParseDuration(argument)
	if err != nil {
		return err
	}
	if err := c.set(offset); err != nil {
		return err
	}
	tick := time.NewTicker(retryEvery)
	defer tick.Stop()
	for {
		err := shows(ctx, offset)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("move the clock: %w; last: %w", context.Cause(ctx), err)
		case <-tick.C:
		}
	}
}

// shows asks PostgreSQL for the time, on a new connection, and fails unless it is the real one plus the offset.
func shows(ctx context.Context, offset time.Duration) error {
	db, err := pgx.Connect(ctx, postgresAddress)
	if err != nil {
		return err
	}
	defer db.Close(ctx) //nolint:errcheck // PostgreSQL notices the end of a connection anyhow

	var shown time.Time
	before := time.Now()
	if err := db.QueryRow(ctx, "SELECT clock_timestamp()").Scan(&shown); err != nil {
		return err
	}
	moved := shown.Add(-offset)
	if moved.Before(before.Add(-clockTolerance)) || moved.After(time.Now().Add(clockTolerance)) {
		return fmt.Errorf("the clock shows %v", shown)
	}
	return nil
}
