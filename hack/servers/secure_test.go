/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package servers_test

import (
	"context"
	"net/url"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/mongolock/operator/hack/servers"
)

// A secure MongoDB takes nobody without TLS and nobody without the right password; its users are made, changed and dropped by command,
// and outlive a restart.
func TestSecureMongoDB(t *testing.T) {
	server, err := servers.StartSecureMongoDB(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := server.Stop(); err != nil {
			t.Error(err)
		}
	}()
	// with is the server's URI with something else in it.
	with := func(change func(uri *url.URL)) string {
		uri, err := url.Parse(server.Address())
		if err != nil {
			t.Fatal("the address is no URI")
		}
		change(uri)
		return uri.String()
	}
	as := func(user, password string) string {
		return with(func(uri *url.URL) { uri.User = url.UserPassword(user, password) })
	}
	admin := func(command bson.D) {
		t.Helper()
		if err := run(t.Context(), server.Address(), "admin", command); err != nil {
			t.Fatal(err)
		}
	}
	list := bson.D{{Key: "listCollections", Value: 1}}
	refused := map[string]string{
		"without TLS": with(func(uri *url.URL) {
			uri.RawQuery = "directConnection=true"
		}),
		"another authority": with(func(uri *url.URL) { uri.RawQuery = "tls=true&directConnection=true" }),
		"nobody":            with(func(uri *url.URL) { uri.User = nil }),
		"unknown user":      as("nobody", "x"),
		"wrong password":    with(func(uri *url.URL) { uri.User = url.UserPassword(uri.User.Username(), "x") }),
	}
	for name, uri := range refused {
		if err := run(t.Context(), uri, "test", list); err == nil {
			t.Errorf("%s: it was let in", name)
		}
	}

	admin(bson.D{{Key: "createUser", Value: "worker"}, {Key: "pwd", Value: "first-1"},
		{Key: "roles", Value: bson.A{bson.D{{Key: "role", Value: "readWriteAnyDatabase"}, {Key: "db", Value: "admin"}}}}})
	if err := run(t.Context(), as("worker", "first-1"), "test", list); err != nil {
		t.Errorf("a new user: %v", err)
	}
	admin(bson.D{{Key: "updateUser", Value: "worker"}, {Key: "pwd", Value: "second-2"}})
	if err := server.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := run(t.Context(), as("worker", "second-2"), "test", list); err != nil {
		t.Errorf("with a new password: %v", err)
	}
	if err := run(t.Context(), as("worker", "first-1"), "test", list); err == nil {
		t.Error("the old password still works")
	}
	admin(bson.D{{Key: "dropUser", Value: "worker"}})
	if err := run(t.Context(), as("worker", "second-2"), "test", list); err == nil {
		t.Error("a user that was dropped was let in")
	}
}

// run runs a command on a connection of its own.
func run(ctx context.Context, uri, database string, command bson.D) error {
	client, err := mongo.Connect(options.Client().ApplyURI(uri).SetServerSelectionTimeout(10 * time.Second))
	if err != nil {
		return err
	}
	defer client.Disconnect(ctx) //nolint:errcheck // a leak fails the run
	return client.Database(database).RunCommand(ctx, command).Err()
}
