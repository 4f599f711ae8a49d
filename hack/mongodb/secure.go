/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"

	"github.com/jackc/pgx/v5"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/mongolock/operator/hack/supervise"
)

// administrator is the user of a secure server's URI. It may make others.
const administrator = "administrator"

// secured is the URI of a secure server: over TLS, as the administrator, whom one can also leave out.
func secured(s *supervise.Session, address string, user *url.Userinfo, options url.Values) string {
	options.Set("tls", "true")
	options.Set("tlsCAFile", filepath.Join(s.Dir, caFile))
	uri := url.URL{Scheme: "mongodb", User: user, Host: address, Path: "/", RawQuery: options.Encode()}
	return uri.String()
}

// startSecureFerretDB starts FerretDB as a program of its own: built into this one, it has neither TLS nor users. Its users are those of
// PostgreSQL, but it does all their work as the owner: whoever has a password has all privileges.
func startSecureFerretDB(ctx context.Context, s *supervise.Session, root, program string) (string, error) {
	database, err := newPostgres(ctx, s, root, false)
	if err != nil {
		return "", fmt.Errorf("start PostgreSQL: %w", err)
	}
	if err := makeCertificates(s.Dir); err != nil {
		return "", fmt.Errorf("make the certificates: %w", err)
	}
	password := rand.Text()
	err = retry(ctx, s, func(ctx context.Context) error { return makeAdministrator(ctx, password) })
	if err != nil {
		return "", fmt.Errorf("make the first user: %w", err)
	}
	port, err := freePort()
	if err != nil {
		return "", err
	}
	address := "127.0.0.1:" + port
	run := func() (*supervise.Process, error) {
		pem := filepath.Join(s.Dir, serverFile)
		return s.Start(exec.Command(program, "--postgresql-url="+postgresURL, "--state-dir="+s.Dir, "--auth",
			"--listen-addr=-", "--listen-tls="+address, "--listen-tls-cert-file="+pem, "--listen-tls-key-file="+pem,
			"--debug-addr=-", "--telemetry=disable", "--log-level=ERROR"), syscall.SIGKILL) // it would wait for its clients
	}
	server, err := run()
	if err != nil {
		return "", fmt.Errorf("start FerretDB: %w", err)
	}
	uri := secured(s, address, url.UserPassword(administrator, password), url.Values{})
	s.OnRequest(restartRequest, func(ctx context.Context, pause string) error {
		if err := server.Kill(); err != nil {
			return err
		}
		if err := database.restart(ctx, pause); err != nil {
			return fmt.Errorf("restart PostgreSQL: %w", err)
		}
		if server, err = run(); err != nil {
			return fmt.Errorf("restart FerretDB: %w", err)
		}
		return ping(ctx, s, uri)
	})
	return uri, ping(ctx, s, uri)
}

// makeAdministrator makes the first user, in PostgreSQL: FerretDB lets nobody in without one. PostgreSQL
// may still refuse to.
func makeAdministrator(ctx context.Context, password string) error {
	db, err := pgx.Connect(ctx, postgresAddress)
	if err != nil {
		return err
	}
	defer db.Close(ctx) //nolint:errcheck // PostgreSQL notices the end of a connection anyhow
	// There are no parameters in a CREATE ROLE. The password has letters and digits only.
	_, err = db.Exec(ctx, fmt.Sprintf("CREATE ROLE %s SUPERUSER LOGIN PASSWORD '%s'", administrator, password))
	return err
}

// startSecureMongod starts a mongod that speaks TLS only, and with users only.
func startSecureMongod(ctx context.Context, s *supervise.Session) (string, error) {
	keys := filepath.Join(s.Dir, "members") // by which the members of the replica set would know each other
	err := errors.Join(makeCertificates(s.Dir), os.WriteFile(keys, []byte(rand.Text()), 0o600))
	if err != nil {
		return "", fmt.Errorf("make the certificates: %w", err)
	}
	anonymous := func(address string) string {
		return secured(s, address, nil, url.Values{"directConnection": {"true"}})
	}
	address, err := runMongod(ctx, s, anonymous, "--auth", "--keyFile", keys, "--tlsMode", "requireTLS",
		"--tlsCertificateKeyFile", filepath.Join(s.Dir, serverFile), "--tlsCAFile", filepath.Join(s.Dir, caFile),
		"--tlsAllowConnectionsWithoutCertificates")
	if err != nil {
		return "", err
	}
	password := rand.Text()
	// mongod lets somebody on its own machine make the first user without being one.
	err = await(ctx, s, anonymous(address), func(ctx context.Context, admin *mongo.Database) error {
		return admin.RunCommand(ctx, bson.D{{Key: "createUser", Value: administrator}, {Key: "pwd", Value: password},
			{Key: "roles", Value: bson.A{"root"}}}).Err()
	})
	if err != nil {
		return "", fmt.Errorf("make the first user: %w", err)
	}
	return secured(s, address, url.UserPassword(administrator, password), url.Values{"replicaSet": {replicaSet}}), nil
}
