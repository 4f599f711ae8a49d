//go:build linux

/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package main

import (
	"context"
	"time"

	"github.com/mongolock/operator/hack/bench/gauge"
)

// request is what the Node worker is asked for; see node/worker.js.
type request struct {
	Command    string    `json:"command"`
	URI        string    `json:"uri,omitempty"`
	Database   string    `json:"database,omitempty"`
	Collection string    `json:"collection,omitempty"`
	N          int       `json:"n,omitempty"`
	Holds      []float64 `json:"holds,omitempty"`
	MS         float64   `json:"ms,omitempty"`
	Workers    int       `json:"workers,omitempty"`
}

// nodeVersions is what the worker consists of.
type nodeVersions struct {
	Node    string `json:"node"`
	Version string `json:"version"`
	Driver  string `json:"driver"`
}

func (w *nodeWorker) connect(ctx context.Context, uri, database string) (nodeVersions, error) {
	var versions nodeVersions
	err := w.ask(ctx, request{Command: "connect", URI: uri, Database: database, Collection: "mongo_dlock"}, &versions)
	return versions, err
}

// samples asks for a measurement whose times the worker takes by its own clock.
func (w *nodeWorker) samples(ctx context.Context, r request) (samples, error) {
	var answer struct{ MS []float64 }
	if err := w.ask(ctx, r, &answer); err != nil {
		return nil, err
	}
	took := make(samples, len(answer.MS))
	for i, ms := range answer.MS {
		took[i] = time.Duration(ms * float64(time.Millisecond))
	}
	return took, nil
}

func dlockContender(w *nodeWorker) contender {
	return contender{
		name: dlockName,
		cycle: func(ctx context.Context, n int) (samples, error) {
			return w.samples(ctx, request{Command: "cycle", N: n})
		},
		denied: func(ctx context.Context, n int) (samples, error) {
			return w.samples(ctx, request{Command: "denied", N: n})
		},
		handOff: func(ctx context.Context, holds []time.Duration) (samples, error) {
			r := request{Command: "handOff"}
			for _, hold := range holds {
				r.Holds = append(r.Holds, gauge.Milliseconds(hold))
			}
			return w.samples(ctx, r)
		},
		throughput: func(ctx context.Context, d time.Duration, workers int) (float64, error) {
			var answer struct{ PerSecond float64 }
			err := w.ask(ctx, request{Command: "throughput", MS: gauge.Milliseconds(d), Workers: workers}, &answer)
			return answer.PerSecond, err
		},
	}
}
