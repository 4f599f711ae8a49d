//go:build linux

/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

// Package crew runs the workers: each in a process of its own, with proxies of its own between it and the servers.
package crew

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/mongolock/operator/hack/faultproxy"
	"github.com/mongolock/operator/hack/torture/history"
	"github.com/mongolock/operator/hack/torture/worker"
)

// Crew is all workers.
type Crew struct {
	Members []*Member
}

// Config says how to make a crew.
type Config struct {
	Size int
	// URI and FeedURI are those of the servers; without a FeedURI there is no feed.
	URI, FeedURI string
	// Orders are those of a worker; Worker, Incarnation, the URIs and History are filled in.
	Orders func(worker int) worker.Orders
	// History is where the processes are recorded, Folder where each keeps its own history.
	History *history.Writer
	Folder  string
}

// New makes the proxies of a crew. It must be closed.
func New(config Config) (*Crew, error) {
	c := &Crew{}
	for i := range config.Size {
		m := &Member{Worker: i, config: config}
		c.Members = append(c.Members, m)
		var err error
		if m.Proxy, err = faultproxy.Start(config.URI); err == nil && config.FeedURI != "" {
			m.FeedProxy, err = faultproxy.Start(config.FeedURI)
		}
		if err != nil {
			c.Close()
			return nil, err
		}
	}
	return c, nil
}

// Start starts all workers and waits until they are ready.
func (c *Crew) Start(ctx context.Context) error {
	return c.each(func(m *Member) error { return m.Start(ctx) })
}

// Rest ends the load; the workers stay and watch.
func (c *Crew) Rest() { _ = c.each(func(m *Member) error { m.rest(); return nil }) }

// Stop makes all workers close their clients and end.
func (c *Crew) Stop(ctx context.Context) error {
	return c.each(func(m *Member) error { return m.stop(ctx) })
}

// Operations is the number of operations so far, about a second ago.
func (c *Crew) Operations() int64 {
	var sum int64
	for _, m := range c.Members {
		sum += m.operations()
	}
	return sum
}

// Files are those of all histories that the workers wrote.
func (c *Crew) Files() []string {
	var files []string
	for _, m := range c.Members {
		files = append(files, m.files...)
	}
	return files
}

// Close closes the proxies, and kills workers that still live.
func (c *Crew) Close() {
	for _, m := range c.Members {
		m.Kill()
		for _, proxy := range []*faultproxy.Proxy{m.Proxy, m.FeedProxy} {
			if proxy != nil {
				proxy.Close()
			}
		}
	}
}

func (c *Crew) each(f func(*Member) error) error {
	errs := make([]error, len(c.Members))
	var all sync.WaitGroup
	for i, m := range c.Members {
		all.Go(func() {
			if err := f(m); err != nil {
				errs[i] = fmt.Errorf("worker %d: %w", m.Worker, err)
			}
		})
	}
	all.Wait()
	return errors.Join(errs...)
}
