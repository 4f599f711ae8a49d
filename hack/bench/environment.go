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
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/mongolock/operator/hack/bench/gauge"
	"github.com/mongolock/operator/hack/child"
	"github.com/mongolock/operator/hack/servers"
)

// environment tells what was measured on what.
func (b *bench) environment(ctx context.Context) (map[string]string, error) {
	product, err := gauge.Product(ctx, b.driver)
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
		"cpu":          fmt.Sprintf("%d x %s", runtime.NumCPU(), gauge.InfoLine("/proc/cpuinfo", "model name")),
		"memory":       gauge.InfoLine("/proc/meminfo", "MemTotal"),
		"server":       product,
		"feed":         "of \"mongolock, push\": FerretDB 1 over SQLite, started by hack/servers",
		"go driver":    gauge.ModuleVersion("go.mongodb.org/mongo-driver/v2"),
		"node":         b.versions.Node,
		"mongo-dlock":  b.versions.Version + " with mongodb " + b.versions.Driver,
		"etcd":         etcdVersion + ", client " + gauge.ModuleVersion("go.etcd.io/etcd/client/v3"),
		"seed":         fmt.Sprint(b.plan.seed),
		"quick":        fmt.Sprint(b.plan.quick),
		"hand-offs":    fmt.Sprintf("%d at a time, held for %s to %s", b.plan.pairs, b.plan.holdMin, b.plan.holdMax),
		"held leases":  fmt.Sprint(b.plan.leases),
		"renew window": b.plan.renewWindow.String(),
		"other work":   fmt.Sprintf("at most %.0f%% of the processors during a part", 100*max(b.foreign, 0)),
	}, nil
}
