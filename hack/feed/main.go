/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

// Command feed starts FerretDB 1 over SQLite, which has capped collections and tailable cursors, prints its URI and
// serves it until its standard input ends. Its data is gone with it. Package supervise says how it lives and dies.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"

	"github.com/FerretDB/FerretDB/ferretdb"

	"github.com/mongolock/operator/hack/supervise"
)

const folderPrefix = "mongolock-feed"

func main() {
	listen := flag.String("listen", "127.0.0.1:0", "address to listen on; port 0 is any free one")
	flag.Parse()
	os.Exit(supervise.Run(os.TempDir(), folderPrefix, func(ctx context.Context, s *supervise.Session) (string, error) {
		return start(ctx, s, *listen)
	}))
}

// start starts FerretDB in this process. It sends no telemetry when embedded.
func start(ctx context.Context, s *supervise.Session, listen string) (string, error) {
	data := filepath.Join(s.Dir, "data")
	if err := os.Mkdir(data, 0o700); err != nil {
		return "", err
	}
	// Files, because in memory it has one connection, which an open cursor holds. They need not reach the disk.
	store := url.URL{Scheme: "file", Opaque: data + "/", RawQuery: "_pragma=synchronous(off)"}
	server, err := ferretdb.New(&ferretdb.Config{
		Listener:  ferretdb.ListenerConfig{TCP: listen},
		Logger:    slog.New(slog.NewTextHandler(s.Log, &slog.HandlerOptions{Level: slog.LevelError})),
		Handler:   "sqlite",
		SQLiteURL: store.String(),
	})
	if err != nil {
		return "", fmt.Errorf("start FerretDB on %s: %w", listen, err)
	}
	// It listens already. It serves until the program exits: it would first wait for its clients, and there is nothing
	// to save.
	go func() {
		err := server.Run(context.WithoutCancel(ctx))
		s.Fail(errors.Join(errors.New("FerretDB ended by itself"), err))
	}()
	return server.MongoDBURI(), nil
}
