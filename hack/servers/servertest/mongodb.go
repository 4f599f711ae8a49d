/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package servertest

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

// maxTestName keeps database names below MongoDB's limit of 63 bytes.
const maxTestName = 32

// dropTimeout bounds the removal of a test's database.
const dropTimeout = 10 * time.Second

// Database returns the name of a database that no other test uses, in this or another run, neither in the MongoDB nor
// in the feed store. It is dropped when the test ends, as the server may be the user's own.
func Database(tb testing.TB) string {
	tb.Helper()
	test := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' {
			return r
		}
		return '_'
	}, tb.Name())
	name := "mongolock_" + test[:min(len(test), maxTestName)] + "_" + rand.Text()[:12]
	tb.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(tb.Context()), dropTimeout)
		defer cancel()
		for _, uri := range []string{mongodbURI, feedURI} {
			if uri == "" {
				continue
			}
			err := withClient(ctx, uri, func(client *mongo.Client) error { return client.Database(name).Drop(ctx) })
			if err != nil {
				tb.Errorf("drop the database of the test: %v", err)
			}
		}
	})
	return name
}

// identify asks the server what it is.
func identify(ctx context.Context, uri string) (string, error) {
	var info struct {
		Version   string
		FerretDB  struct{ Version, Package string } `bson:"ferretdb"`
		FerretDB1 string                            `bson:"ferretdbVersion"`
	}
	err := withClient(ctx, uri, func(client *mongo.Client) error {
		return client.Database("admin").RunCommand(ctx, bson.D{{Key: "buildInfo", Value: 1}}).Decode(&info)
	})
	if err != nil {
		return "", fmt.Errorf("the MongoDB of the tests does not serve: %w", err)
	}
	switch {
	case info.FerretDB.Version != "":
		return "FerretDB " + info.FerretDB.Version + " over PostgreSQL with DocumentDB", nil
	case info.FerretDB1 != "": // which does not know its version when embedded
		return "FerretDB 1 over SQLite", nil
	}
	return "MongoDB " + info.Version, nil
}

// withClient calls use with a client that is gone afterwards. Its errors do not carry the URI.
func withClient(ctx context.Context, uri string, use func(*mongo.Client) error) error {
	settings := options.Client().ApplyURI(uri).SetServerSelectionTimeout(dropTimeout)
	if settings.Validate() != nil {
		return errors.New("MONGODB_URI is not a valid MongoDB URI") // the driver's own text may quote the password
	}
	client, err := mongo.Connect(settings)
	if err != nil {
		return err
	}
	used := use(client)
	return cmp.Or(used, client.Disconnect(ctx))
}
