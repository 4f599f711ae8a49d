/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package controllers

import (
	"io"
	"net"
	"net/url"
	"sync"
	"time"

	"k8s.io/client-go/rest"
)

// relay is the way to an API server, which can be cut.
type relay struct {
	listener net.Listener
	target   string
	running  sync.WaitGroup

	mu    sync.Mutex
	cut   bool
	conns map[net.Conn]struct{}
}

// relayed is the test's API server behind a relay.
func (e *env) relayed() (*rest.Config, *relay) {
	e.Helper()
	config := rest.CopyConfig(e.config)
	target, err := url.Parse(config.Host)
	if err != nil {
		e.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		e.Fatal(err)
	}
	r := &relay{listener: listener, target: target.Host, conns: map[net.Conn]struct{}{}}
	r.running.Go(r.accept)
	e.Cleanup(r.close)
	target.Host = listener.Addr().String()
	config.Host = target.String()
	config.ServerName = "127.0.0.1" // whom the certificate is for
	return config, r
}

func (r *relay) accept() {
	for {
		client, err := r.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.DialTimeout("tcp", r.target, soon)
		if err != nil || !r.keep(client, server) {
			_ = client.Close()
			continue
		}
		for from, to := range map[net.Conn]net.Conn{client: server, server: client} {
			r.running.Go(func() {
				_, _ = io.Copy(to, from)
				_ = to.Close()
			})
		}
	}
}

// keep remembers a connection, unless there can be none now.
func (r *relay) keep(conns ...net.Conn) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range conns {
		if r.cut {
			_ = c.Close()
			continue
		}
		r.conns[c] = struct{}{}
	}
	return !r.cut
}

// set cuts all connections and lets none come, or lets them come again.
func (r *relay) set(cut bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.cut = cut
	if !cut {
		return
	}
	for c := range r.conns {
		_ = c.SetDeadline(time.Now())
		_ = c.Close()
	}
	clear(r.conns)
}

func (r *relay) close() {
	_ = r.listener.Close()
	r.set(true)
	r.running.Wait()
}
