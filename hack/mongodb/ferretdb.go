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
	"log/slog"
	"time"

	"github.com/FerretDB/FerretDB/v2/ferretdb"

	"github.com/mongolock/operator/hack/supervise"
)

const (
	postgresAddress = "postgres://postgres@/postgres?host=" + socketFolder
	// FerretDB queues what exceeds its connections. PostgreSQL allows 150.
	postgresURL = postgresAddress + "&pool_max_conns=100&pool_min_conns=4"

	// idleTrust is how long after its last use FerretDB takes a connection for good without a test.
	idleTrust = time.Second + 50*time.Millisecond
)

// startFerretDB starts PostgreSQL on a copy of the template inside root, and FerretDB in this process.
func startFerretDB(ctx context.Context, s *supervise.Session, root string, movableClock bool) (string, error) {
	database, err := newPostgres(ctx, s, root, movableClock)
	if err != nil {
		return "", fmt.Errorf("start PostgreSQL: %w", err)
	}

	telemetry := false
	server, err := ferretdb.New(&ferretdb.Config{
		PostgreSQLURL: postgresURL,
		ListenAddr:    "127.0.0.1:0",
		StateDir:      s.Dir,
		LogLevel:      slog.LevelError,
		LogOutput:     s.Log,
		Telemetry:     &telemetry,
	})
	if err != nil {
		return "", fmt.Errorf("start FerretDB: %w", err)
	}
	// It serves until the program exits: it would first wait for its clients, and there is nothing to save.
	go func() {
		server.Run(context.WithoutCancel(ctx))
		s.Fail(errors.New("FerretDB ended by itself"))
	}()
	uri := server.MongoDBURI()
	s.OnRequest(restartRequest, func(ctx context.Context, pause string) error {
		cut := time.Now()
		if err := database.restart(ctx, pause); err != nil {
			return fmt.Errorf("restart PostgreSQL: %w", err)
		}
		return settle(ctx, s, uri, cut)
	})
	s.OnRequest(terminateRequest, func(ctx context.Context, _ string) error {
		if err := terminateBackends(ctx); err != nil {
			return fmt.Errorf("terminate the backends: %w", err)
		}
		return settle(ctx, s, uri, time.Now())
	})
	if movableClock {
		s.OnRequest(clockRequest, database.clock.move)
	}
	return uri, ping(ctx, s, uri)
}

// settle waits until FerretDB, which stays, uses none of the connections to PostgreSQL that were cut, and serves.
func settle(ctx context.Context, s *supervise.Session, uri string, cut time.Time) error {
	trusted := time.NewTimer(time.Until(cut.Add(idleTrust)))
	defer trusted.Stop()
	select {
	case <-trusted.C:
	case <-ctx.Done():
	}
	return ping(ctx, s, uri)
}
