//go:build linux

/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/mongolock/operator/hack/manager"
)

// The operators elect their leader with shorter times than the defaults, so that a takeover is worth watching.
const (
	leaderLock  = namespace + "/operator"
	leaderLease = 5 * time.Second
	leaderRenew = 3 * time.Second
	leaderRetry = 500 * time.Millisecond
)

// scrapeTimeout bounds one look at an operator's metrics.
const scrapeTimeout = 2 * time.Second

// operator is a running operator.
type operator struct {
	*process
	metrics string // address
	log     string // path
}

// startOperator starts the operator in binary, whose log goes to a file in dir.
func startOperator(name, binary, dir, kubeconfig, uri, database string, ended func(error)) (*operator, error) {
	metrics, err := manager.FreeAddress()
	if err != nil {
		return nil, err
	}
	log, err := os.Create(filepath.Join(dir, name+".log"))
	if err != nil {
		return nil, err
	}
	defer log.Close() //nolint:errcheck // the child has its own
	cmd := exec.Command(binary,
		"--kubeconfig="+kubeconfig,
		"--mongodb-database="+database,
		"--metrics-bind-address="+metrics, "--metrics-secure=false",
		"--health-probe-bind-address=0",
		"--leader-election-namespace="+namespace, "--leader-election-id=operator",
		"--leader-election-lease-duration="+leaderLease.String(),
		"--leader-election-renew-deadline="+leaderRenew.String(),
		"--leader-election-retry-period="+leaderRetry.String())
	cmd.Env = manager.Environment(uri)
	cmd.Stdout, cmd.Stderr = log, log
	p, err := start(name, cmd, nil, ended)
	if err != nil {
		return nil, err
	}
	return &operator{process: p, metrics: metrics, log: log.Name()}, nil
}

// leads asks the operator itself whether it leads.
func (o *operator) leads(ctx context.Context) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, scrapeTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+o.metrics+"/metrics", http.NoBody)
	if err != nil {
		return false, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return false, err
	}
	defer response.Body.Close() //nolint:errcheck // read only
	if response.StatusCode != http.StatusOK {
		return false, fmt.Errorf("metrics of %s: %s", o.name, response.Status)
	}
	return leadsByMetrics(response.Body)
}

// leadsByMetrics finds the gauge that client-go's elector sets. It is absent before the election begins.
func leadsByMetrics(metrics io.Reader) (bool, error) {
	input := bufio.NewScanner(metrics)
	for input.Scan() {
		labels, ok := strings.CutPrefix(input.Text(), "leader_election_master_status{")
		if !ok {
			continue
		}
		_, value, _ := strings.Cut(labels, "} ")
		gauge, err := strconv.ParseFloat(value, 64)
		if err != nil {
			return false, fmt.Errorf("leader_election_master_status: %w", err)
		}
		return gauge == 1, nil
	}
	return false, input.Err()
}
