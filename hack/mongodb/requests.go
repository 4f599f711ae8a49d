/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package main

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
)

// The requests that the program understands, each followed by its argument.
const (
	restartRequest   = "restart"   // how long to stay down: a duration, or nothing
	terminateRequest = "terminate" // nothing
	clockRequest     = "clock"     // how far from the real time: a duration
)

// wait waits for as long as the argument of a request says.
func wait(ctx context.Context, argument string) error {
	if argument == "" {
		return nil
	}
	pause, err := time.ParseDuration(argument)
	if err != nil {
		return err
	}
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// terminateBackends ends all connections to PostgreSQL, FerretDB's and those the extension makes to it, and with them
// the commands that they are carrying out. It returns when they are gone.
func terminateBackends(ctx context.Context) error {
	db, err := pgx.Connect(ctx, postgresAddress)
	if err != nil {
		return err
	}
	defer db.Close(ctx) //nolint:errcheck // PostgreSQL notices the end of a connection anyhow

	var terminated []int32
	err = db.QueryRow(ctx, `SELECT coalesce(array_agg(pid) FILTER (WHERE pg_terminate_backend(pid)), '{}')
		FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()`).Scan(&terminated)
	for left := 1; left > 0 && err == nil; time.Sleep(time.Millisecond) {
		err = db.QueryRow(ctx, "SELECT count(*) FROM pg_stat_activity WHERE pid = ANY($1)", terminated).Scan(&left)
	}
	return err
}
