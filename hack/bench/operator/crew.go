//go:build linux

/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"

	"github.com/mongolock/operator/hack/child"
)

// crew are the client processes.
type crew struct {
	clients []*client

	mu   sync.Mutex
	made []transition
}

// client is one client process.
type client struct {
	*child.Process
	in      io.Writer
	answers chan string
}

// startCrew starts the client processes, which connect to MongoDB themselves.
func startCrew(p *plan, uri, database string) (*crew, error) {
	c := &crew{}
	for i := range p.Clients {
		o := orders{URI: uri, Database: database, Owner: fmt.Sprintf("client-%d", i), Seed: p.Seed + uint64(i)}
		started, err := c.start(o)
		if err != nil {
			c.stop()
			return nil, err
		}
		c.clients = append(c.clients, started)
	}
	return c, nil
}

func (c *crew) start(o orders) (*client, error) {
	cmd := exec.Command("/proc/self/exe", "-hold")
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	one := &client{in: in, answers: make(chan string, 1)}
	cmd.Stdout = &child.Lines{Take: func(line string) {
		var t transition
		if n, _ := fmt.Sscanf(line, "t %d %d %d", &t.lock, &t.position, &t.at); n == 3 {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.made = append(c.made, t)
			return
		}
		one.answers <- line
	}}
	if one.Process, err = child.Start(cmd); err != nil {
		return nil, err
	}
	return one, json.NewEncoder(in).Encode(o)
}

func (c *crew) stop() {
	for _, one := range c.clients {
		one.Kill()
	}
}

// ask gives an order and returns the answer.
func (one *client) ask(ctx context.Context, order string) (string, error) {
	if _, err := fmt.Fprintln(one.in, order); err != nil {
		return "", fmt.Errorf("a client has ended: %w", err)
	}
	select {
	case answer := <-one.answers:
		if found, ok := strings.CutPrefix(answer, "ok "); ok {
			return found, nil
		}
		return "", fmt.Errorf("%s: %s", order, answer)
	case <-one.Gone():
		return "", fmt.Errorf("a client ended by itself: %s", one.Cmd.ProcessState)
	case <-ctx.Done():
		return "", fmt.Errorf("%s: %w", order, context.Cause(ctx))
	}
}

// each gives all clients an order at the same time, and adds up the two numbers of their answers, if they have any.
func (c *crew) each(ctx context.Context, order func(i int) string) (x, y int64, err error) {
	var mu sync.Mutex
	var asking sync.WaitGroup
	for i, one := range c.clients {
		asking.Go(func() {
			answer, failed := one.ask(ctx, order(i))
			mu.Lock()
			defer mu.Unlock()
			var a, b int64
			_, _ = fmt.Sscan(answer, &a, &b)
			x, y = x+a, y+b
			if failed != nil {
				err = failed
			}
		})
	}
	asking.Wait()
	return x, y, err
}

func (c *crew) all(ctx context.Context, order string) (x, y int64, err error) {
	return c.each(ctx, func(int) string { return order })
}

// hold has the clients acquire the locks from one index to another, in equal parts.
func (c *crew) hold(ctx context.Context, from, to int) error {
	n := len(c.clients)
	_, _, err := c.each(ctx, func(i int) string {
		return fmt.Sprintf("hold %d %d", from+(to-from)*i/n, from+(to-from)*(i+1)/n)
	})
	return err
}

// churn has the clients release and acquire locks, and returns what they did.
func (c *crew) churn(ctx context.Context, rate int, d time.Duration) (made []transition, skipped, failed int64, err error) {
	c.mu.Lock()
	c.made = nil
	c.mu.Unlock()
	n := len(c.clients)
	skipped, failed, err = c.each(ctx, func(i int) string {
		return fmt.Sprintf("churn %d %d", rate*(i+1)/n-rate*i/n, d.Milliseconds())
	})
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.made, skipped, failed, err
}
