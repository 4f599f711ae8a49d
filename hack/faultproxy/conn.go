/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package faultproxy

import (
	"net"
	"sync"
)

// conn is one client's connection and its twin to the server. Two goroutines pump messages; either ends both.
type conn struct {
	proxy  *Proxy
	client *net.TCPConn
	closed chan struct{}

	mu      sync.Mutex
	server  net.Conn // nil until dialled
	pending map[int32]pending
}

// pending is a request under way to the server, with the fault that hit it.
type pending struct {
	fault    *Injection
	answered chan struct{} // closed when the reply arrives
}

func newConn(p *Proxy, client *net.TCPConn) *conn {
	return &conn{proxy: p, client: client, closed: make(chan struct{}), pending: map[int32]pending{}}
}

func (c *conn) serve() {
	defer c.proxy.forget(c)
	defer c.close()
	if !c.proxy.pass(c.closed) {
		return
	}
	server, err := net.DialTimeout("tcp", c.proxy.target, dialTimeout)
	if err != nil || !c.attach(server) {
		return
	}
	var replies sync.WaitGroup
	replies.Go(c.pumpReplies)
	c.pumpRequests()
	replies.Wait()
	for _, p := range c.pending { // the server never answered these
		p.fault.end()
	}
}

// attach sets the server's end, or closes it and says false when the connection was closed meanwhile.
func (c *conn) attach(server net.Conn) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.open() {
		_ = server.Close()
		return false
	}
	c.server = server
	return true
}

// close ends both sides.
func (c *conn) close() { c.end(false) }

// reset ends both sides, the client's with an RST.
func (c *conn) reset() { c.end(true) }

// end ends both sides once. Errors of closing have no consequence: nothing is expected of either side any more.
func (c *conn) end(reset bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.open() {
		return
	}
	close(c.closed)
	if reset {
		_ = c.client.SetLinger(0) // fails only when the client has gone
	}
	_ = c.client.Close()
	if c.server != nil {
		_ = c.server.Close()
	}
}

func (c *conn) open() bool {
	select {
	case <-c.closed:
		return false
	default:
		return true
	}
}

func (c *conn) pumpRequests() {
	defer c.close()
	for {
		m, err := readMessage(c.client)
		if err != nil {
			c.proxy.pass(c.closed) // a partition hides the client's end, too
			return
		}
		fault, err := c.proxy.judge(m)
		if err != nil || !c.request(m, fault) {
			return
		}
	}
}

// request sends one request on, as the fault (which may be nil) wants, and says false when the connection must end.
func (c *conn) request(m message, fault *Injection) bool {
	if fault == nil {
		return c.deliver(c.server, m)
	}
	if fault.spec.Kind == DropRequest {
		c.close()
		fault.fire()
		fault.end()
		return false
	}
	answered := c.expect(m, fault)
	if fault.spec.Kind != HoldRequest {
		return c.deliver(c.server, m)
	}
	fault.fire()
	if !fault.hold(c.closed) || !c.deliver(c.server, m) {
		return false
	}
	// The client may be long gone. Its end of file is read only after the server has answered, so that the late request
	// is carried out rather than cancelled.
	select {
	case <-answered:
		return true
	case <-c.closed:
		return false
	}
}

// expect notes that the reply to a request needs care, and returns a channel that is closed when the reply comes.
func (c *conn) expect(request message, fault *Injection) <-chan struct{} {
	answered := make(chan struct{})
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pending[request.id] = pending{fault, answered}
	return answered
}

// deliver writes a message to one side, as soon as the proxy is no black hole.
func (c *conn) deliver(to net.Conn, m message) bool {
	if !c.proxy.pass(c.closed) {
		return false
	}
	_, err := to.Write(m.raw)
	return err == nil
}

func (c *conn) pumpReplies() {
	defer c.close()
	for {
		m, err := readMessage(c.server)
		if err != nil {
			c.proxy.pass(c.closed)
			return
		}
		if !c.reply(m) {
			return
		}
	}
}

// reply hands one reply to the client, unless a fault wants otherwise, and says false when the connection must end.
func (c *conn) reply(m message) bool {
	c.mu.Lock()
	p, hit := c.pending[m.answerTo]
	delete(c.pending, m.answerTo)
	c.mu.Unlock()
	if !hit {
		return c.deliver(c.client, m)
	}
	defer p.fault.end()
	close(p.answered)
	switch p.fault.spec.Kind {
	case DropReply:
		c.close()
		p.fault.fire()
		return false
	case HoldReply:
		p.fault.fire()
		if !p.fault.hold(c.closed) {
			return false
		}
	}
	return c.deliver(c.client, m)
}
