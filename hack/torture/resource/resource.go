//go:build linux

/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

// Package resource is what the locks protect: it keeps the largest token that it has seen for each lock and, if it is guarded, refuses
// smaller ones. It lives in the rig's process and is reached over a socket, as a database or a disk would be.
package resource

import (
	"errors"
	"net"
	"net/rpc"
	"sync"

	"github.com/mongolock/operator/hack/torture/history"
)

// Method is the name under which the resource is called.
const Method = "Resource.Write"

// Request is a write under a lock.
type Request struct {
	Lock  string
	Token int64
	// Operation is the ID of the operation in the history.
	Operation string
}

// Resource is the resource. Its method Write is called by workers.
type Resource struct {
	guarded bool
	history *history.Writer

	mu      sync.Mutex
	largest map[string]int64
}

// Write writes, if the token is not smaller than the largest so far.
func (r *Resource) Write(request Request, accepted *bool) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	*accepted = !r.guarded || request.Token >= r.largest[request.Lock]
	if *accepted {
		r.largest[request.Lock] = max(r.largest[request.Lock], request.Token)
		r.history.Write(history.Record{Accepted: &history.Accepted{
			Lock: request.Lock, Token: request.Token, Operation: request.Operation, At: history.Now(),
		}})
	}
	return nil
}

// Server serves a resource on a socket.
type Server struct {
	listener net.Listener
	running  sync.WaitGroup

	mu          sync.Mutex
	connections []net.Conn
}

// Serve serves a resource on a new socket at path. It must be closed.
func Serve(path string, guarded bool, h *history.Writer) (*Server, error) {
	handlers := rpc.NewServer()
	if err := handlers.Register(&Resource{guarded: guarded, history: h, largest: map[string]int64{}}); err != nil {
		return nil, err
	}
	listener, err := net.Listen("unix", path)
	if err != nil {
		return nil, err
	}
	s := &Server{listener: listener}
	s.running.Go(func() {
		for {
			connection, err := listener.Accept()
			if err != nil {
				return // closed
			}
			s.mu.Lock()
			s.connections = append(s.connections, connection)
			s.mu.Unlock()
			s.running.Go(func() { handlers.ServeConn(connection) })
		}
	})
	return s, nil
}

// Close ends it, and all connections.
func (s *Server) Close() error {
	err := s.listener.Close()
	s.mu.Lock()
	for _, connection := range s.connections {
		if closing := connection.Close(); !errors.Is(closing, net.ErrClosed) {
			err = errors.Join(err, closing)
		}
	}
	s.mu.Unlock()
	s.running.Wait()
	return err
}
