//go:build linux

/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/mongolock/operator/hack/child"
	"github.com/mongolock/operator/hack/servers"
)

// environment tells what was measured on what.
func (b *bench) environment(ctx context.Context) (map[string]string, error) {
	product, err := serverProduct(ctx, b.driver)
	if err != nil {
		return nil, err
	}
	kubectl, err := servers.Kubectl()
	if err != nil {
		return nil, err
	}
	etcd, err := child.Output(ctx, exec.Command(filepath.Join(filepath.Dir(kubectl), "etcd"), "--version"))
	if err != nil {
		return nil, err
	}
	etcdVersion, _, _ := strings.Cut(string(etcd), "\n")
	return map[string]string{
		"go":           runtime.Version(),
		"cpu":          fmt.Sprintf("%d x %s", runtime.NumCPU(), infoLine("/proc/cpuinfo", "model name")),
		"memory":       infoLine("/proc/meminfo", "MemTotal"),
		"server":       product,
		"feed":         "of \"mongolock, push\": FerretDB 1 over SQLite, started by hack/servers",
		"go driver":    moduleVersion("go.mongodb.org/mongo-driver/v2"),
		"node":         b.versions.Node,
		"mongo-dlock":  b.versions.Version + " with mongodb " + b.versions.Driver,
		"etcd":         etcdVersion + ", client " + moduleVersion("go.etcd.io/etcd/client/v3"),
		"seed":         fmt.Sprint(b.plan.seed),
		"quick":        fmt.Sprint(b.plan.quick),
		"hand-offs":    fmt.Sprintf("%d at a time, held for %s to %s", b.plan.pairs, b.plan.holdMin, b.plan.holdMax),
		"held leases":  fmt.Sprint(b.plan.leases),
		"renew window": b.plan.renewWindow.String(),
		"other work":   fmt.Sprintf("at most %.0f%% of the processors during a part", 100*max(b.foreign, 0)),
	}, nil
}

// serverProduct asks the server what it is, and PostgreSQL below FerretDB would not tell that it does not sync: our test server
// does not.
func serverProduct(ctx context.Context, driver *mongo.Client) (string, error) {
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

// infoLine returns the value of the first line with that name.
func infoLine(file, name string) string {
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

func moduleVersion(path string) string {
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
