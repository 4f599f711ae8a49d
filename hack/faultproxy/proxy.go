/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

// Package faultproxy is a TCP proxy in front of a MongoDB-compatible server, for tests. It understands the framing of
// the wire protocol, so that a fault can hit exactly one command: its request or its reply is dropped or held, while
// everything else passes. It can also black-hole or refuse all traffic, and reset all connections.
//
// Compressed messages and TLS are not supported. A client must connect with directConnection=true, as Proxy.URI says;
// otherwise a driver that finds a replica set talks to its members past the proxy.
package faultproxy

import (
	"fmt"
	"maps"
	"net"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
)

const dialTimeout = 5 * time.Second

type mode int

const (
	forwarding mode = iota
	blackholed
	refusing
	shut
)

// Proxy forwards connections to one server. Its methods may be called at any time, from any goroutine.
type Proxy struct {
	target   string
	uri      *url.URL // of the target; nil when it was given as host:port
	listener *net.TCPListener
	running  sync.WaitGroup // the accept loop and the connections

	mu       sync.Mutex
	mode     mode
	changed  chan struct{} // closed and replaced when mode changes
	conns    map[*conn]struct{}
	faults   []*Injection
	commands map[string]int
}

// Start listens on a free port of 127.0.0.1 and forwards to the target: host:port, or a mongodb:// URI with one host.
// It does not connect before a client does. The caller must Close the proxy.
func Start(target string) (*Proxy, error) {
	p := &Proxy{
		target: target, changed: make(chan struct{}),
		conns: map[*conn]struct{}{}, commands: map[string]int{},
	}
	if strings.Contains(target, "://") {
		uri, err := url.Parse(target)
		if err != nil || uri.Scheme != "mongodb" || uri.Port() == "" || strings.Contains(uri.Host, ",") {
			return nil, fmt.Errorf("faultproxy: the target must be host:port or a mongodb:// URI with exactly one host:port")
		}
		if q := uri.Query(); q.Get("tls") == "true" || q.Get("ssl") == "true" {
			return nil, fmt.Errorf("faultproxy: the target uses TLS, which the proxy cannot read: take a server without it")
		}
		p.target, p.uri = uri.Host, uri
	}
	listener, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return nil, fmt.Errorf("faultproxy: listen: %w", err)
	}
	p.listener = listener
	p.running.Go(p.accept)
	return p, nil
}

// Addr returns the proxy's host:port.
func (p *Proxy) Addr() string { return p.listener.Addr().String() }

// URI returns the target's URI, credentials included, with the proxy's address and the options that the proxy needs.
func (p *Proxy) URI() string {
	uri := url.URL{Scheme: "mongodb", Path: "/"}
	if p.uri != nil {
		uri = *p.uri
	}
	uri.Host = p.Addr()
	query := uri.Query()
	query.Set("directConnection", "true")
	query.Del("replicaSet")
	query.Del("compressors")
	uri.RawQuery = query.Encode()
	return uri.String()
}

// Inject adds a fault. When several match one command, the first injected that is not spent hits it, alone. Inject
// panics when the fault has no valid kind.
func (p *Proxy) Inject(f Fault) *Injection {
	if f.Kind < DropRequest || f.Kind > HoldReply {
		panic(fmt.Sprintf("faultproxy: fault of kind %d, want DropRequest, DropReply, HoldRequest or HoldReply", f.Kind))
	}
	i := newInjection(f)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.faults = append(p.faults, i)
	return i
}

// Withdraw removes a fault, whether it was spent or not, and lets go of what it holds.
func (p *Proxy) Withdraw(i *Injection) {
	p.mu.Lock()
	p.faults = slices.DeleteFunc(p.faults, func(other *Injection) bool { return other == i })
	p.mu.Unlock()
	i.Release()
}

// Blackhole keeps all connections open, new ones too, and forwards nothing in either direction. What was under way is
// delivered after Heal, as after a network partition.
func (p *Proxy) Blackhole() { p.set(blackholed) }

// Refuse closes all connections, and every new one at once. The port stays taken, so that Heal finds it free: a client
// connects and then sees the connection end.
func (p *Proxy) Refuse() { p.set(refusing) }

// Heal ends Blackhole and Refuse. Faults stay.
func (p *Proxy) Heal() { p.set(forwarding) }

// Sever resets all connections: clients see an RST, as when the server's machine or a firewall has forgotten them, rather
// than the end of the stream. What was under way is lost; the server sees connections that end. New connections are
// accepted as before.
func (p *Proxy) Sever() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		c.reset()
	}
}

// Connections returns how many clients are connected now. One that has gone counts until the proxy has noticed.
func (p *Proxy) Connections() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 0
	for c := range p.conns {
		if c.open() {
			n++
		}
	}
	return n
}

// Reset heals, removes all faults, lets go of what they hold, and starts the counts of Commands anew.
func (p *Proxy) Reset() {
	p.mu.Lock()
	faults := p.faults
	p.faults, p.commands = nil, map[string]int{}
	p.mu.Unlock()
	for _, i := range faults {
		i.Release()
	}
	p.Heal()
}

// Commands returns how many commands clients have sent since the start or Reset, by name, whatever became of them. The
// first hello of a connection may count as "OP_QUERY", after its message format.
func (p *Proxy) Commands() map[string]int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return maps.Clone(p.commands)
}

// Close closes the port and all connections, and returns when no goroutine of the proxy is left.
func (p *Proxy) Close() {
	p.set(shut)
	_ = p.listener.Close() // only reports that it was closed before
	p.running.Wait()
}

func (p *Proxy) set(m mode) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.mode == shut {
		return
	}
	p.mode = m
	close(p.changed)
	p.changed = make(chan struct{})
	if m == refusing || m == shut {
		for c := range p.conns {
			c.close()
		}
	}
}

// pass waits while the proxy is a black hole, and says false if the connection closed first.
func (p *Proxy) pass(closed <-chan struct{}) bool {
	for {
		p.mu.Lock()
		m, changed := p.mode, p.changed
		p.mu.Unlock()
		if m != blackholed {
			return true
		}
		select {
		case <-changed:
		case <-closed:
			return false
		}
	}
}

func (p *Proxy) accept() {
	for {
		client, err := p.listener.AcceptTCP()
		if err != nil {
			return // closed
		}
		p.mu.Lock()
		if p.mode == refusing || p.mode == shut {
			_ = client.Close()
		} else {
			c := newConn(p, client)
			p.conns[c] = struct{}{}
			p.running.Go(c.serve)
		}
		p.mu.Unlock()
	}
}

func (p *Proxy) forget(c *conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.conns, c)
}

// judge counts the command and returns the fault that hits it, or nil.
func (p *Proxy) judge(m message) (*Injection, error) {
	name, command, err := m.command()
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.commands[name]++
	for _, i := range p.faults {
		if i.takes(name, command) {
			return i, nil
		}
	}
	return nil, nil
}
