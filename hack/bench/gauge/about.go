//go:build linux

/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package gauge

import (
	"context"
	"fmt"
	"os"
	"runtime/debug"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
)

// Product asks a MongoDB what it is; PostgreSQL below FerretDB would not tell that it does not sync: our test server
// does not.
func Product(ctx context.Context, driver *mongo.Client) (string, error) {
	var info struct {
		Version  string
		FerretDB struct{ Version string } `bson:"ferretdb"`
	}
	if err := driver.Database("admin").RunCommand(ctx, bson.D{{Key: "buildInfo", Value: 1}}).Decode(&info); err != nil {
		return "", fmt.Errorf("ask MongoDB what it is: %w", err)
	}
	if info.FerretDB.Version == "" {
		return "MongoDB " + info.Version, nil
	}
	product := "FerretDB " + info.FerretDB.Version + " over PostgreSQL with DocumentDB"
	if os.Getenv("MONGODB_URI") == "" {
		product += ", started by hack/servers, fsync off"
	}
	return product, nil
}

// InfoLine returns the value of the first line with that name.
func InfoLine(file, name string) string {
	text, err := os.ReadFile(file)
	if err != nil {
		return "unknown"
	}
	for line := range strings.Lines(string(text)) {
		if key, value, found := strings.Cut(line, ":"); found && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return "unknown"
}

// ModuleVersion returns the version of a module that this program is built with.
func ModuleVersion(path string) string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	for _, module := range info.Deps {
		if module.Path == path {
			return module.Version
		}
	}
	return "unknown"
}
