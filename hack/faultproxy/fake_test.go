/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package faultproxy

import (
	"encoding/binary"
	"net"
	"sync"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/x/mongo/driver/wiremessage"
	"go.uber.org/goleak"
)

// patience bounds what must happen; silence is how long a test listens for what must not happen.
const (
	patience = 10 * time.Second
	silence  = 100 * time.Millisecond
)

// fakeServer is no MongoDB: it answers every message with {ok: 1, n: <how many it has applied>}.
type fakeServer struct {
	listener net.Listener
	running  sync.WaitGroup

	mu      sync.Mutex
	applied []string
	conns   []net.Conn
}

func (s *fakeServer) accept() {
	for {
		c, err := s.listener.Accept()
		if err != nil {
			return
		}
		s.mu.Lock()
		s.conns = append(s.conns, c)
		s.mu.Unlock()
		s.running.Go(func() { s.answer(c) })
	}
}

func (s *fakeServer) answer(c net.Conn) {
	for {
		m, err := readMessage(c)
		if err != nil {
			return
		}
		name, _, err := m.command()
		if err != nil {
			return
		}
		s.mu.Lock()
		s.applied = append(s.applied, name)
		n := len(s.applied)
		s.mu.Unlock()
		if _, err := c.Write(frame(0, m.id, section(bson.D{{Key: "ok", Value: 1}, {Key: "n", Value: n}}))); err != nil {
			return
		}
	}
}

// log returns the names of the commands that have been applied.
func (s *fakeServer) log() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string{}, s.applied...)
}

// hangUp closes the server's connections, as a server that dies does.
func (s *fakeServer) hangUp() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.conns {
		_ = c.Close()
	}
}

// start gives a proxy in front of a fake server. At the end of the test it checks that no goroutine is left.
func start(t *testing.T) (*Proxy, *fakeServer) {
	t.Helper()
	t.Cleanup(func() { goleak.VerifyNone(t) })
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &fakeServer{listener: listener}
	s.running.Go(s.accept)
	t.Cleanup(func() {
		_ = s.listener.Close()
		s.hangUp()
		s.running.Wait()
	})
	p, err := Start(listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p, s
}

// client is one connection to the proxy.
type client struct {
	t    *testing.T
	conn net.Conn
	id   int32
}

func connect(t *testing.T, p *Proxy) *client {
	t.Helper()
	c, err := net.Dial("tcp", p.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return &client{t: t, conn: c}
}

func (c *client) send(command bson.D) {
	c.t.Helper()
	c.id++
	// An error shows in the missing reply.
	_, _ = c.conn.Write(frame(c.id, 0, section(command)))
}

// receive returns the n of the next reply, or the error of the connection.
func (c *client) receive(within time.Duration) (int32, error) {
	c.t.Helper()
	if err := c.conn.SetReadDeadline(time.Now().Add(within)); err != nil {
		return 0, err
	}
	m, err := readMessage(c.conn)
	if err != nil {
		return 0, err
	}
	if m.answerTo != c.id {
		c.t.Fatalf("reply to request %d, want %d", m.answerTo, c.id)
	}
	_, body, err := m.command()
	if err != nil {
		c.t.Fatal(err)
	}
	return body.Lookup("n").Int32(), nil
}

// mustAnswer sends a command and wants a reply.
func (c *client) mustAnswer(command bson.D) int32 {
	c.t.Helper()
	c.send(command)
	n, err := c.receive(patience)
	if err != nil {
		c.t.Fatalf("%v: %v", command, err)
	}
	return n
}

func await(t *testing.T, what string, c <-chan struct{}) {
	t.Helper()
	select {
	case <-c:
	case <-time.After(patience):
		t.Fatalf("%s: not within %v", what, patience)
	}
}

// frame builds an OP_MSG of the given sections.
func frame(id, answerTo int32, sections ...[]byte) []byte {
	at, m := wiremessage.AppendHeaderStart(nil, id, answerTo, wiremessage.OpMsg)
	m = wiremessage.AppendMsgFlags(m, 0)
	for _, s := range sections {
		m = append(m, s...)
	}
	binary.LittleEndian.PutUint32(m[at:], uint32(len(m)))
	return m
}

// section builds the body section of an OP_MSG.
func section(document bson.D) []byte {
	body, err := bson.Marshal(document)
	if err != nil {
		panic(err)
	}
	return append([]byte{byte(wiremessage.SingleDocument)}, body...)
}
