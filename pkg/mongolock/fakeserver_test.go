/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package mongolock

import (
	"encoding/binary"
	"io"
	"net"
	"sync"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// fakeServer is a fake: it answers like a server without pipeline updates (Amazon DocumentDB), which cannot be had here.
type fakeServer struct {
	uri      string
	listener net.Listener
	conns    sync.WaitGroup

	mu     sync.Mutex
	open   []net.Conn
	answer func(command string) bson.D // nil: that of a server without pipeline updates
}

func startFakeServer(t *testing.T) *fakeServer {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &fakeServer{uri: "mongodb://" + listener.Addr().String() + "/?directConnection=true", listener: listener}
	s.conns.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			s.mu.Lock()
			s.open = append(s.open, conn)
			s.mu.Unlock()
			s.conns.Go(func() { s.serve(conn) })
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		s.mu.Lock()
		for _, conn := range s.open {
			_ = conn.Close()
		}
		s.mu.Unlock()
		s.conns.Wait()
	})
	return s
}

func (s *fakeServer) serve(conn net.Conn) {
	const (
		headerSize = 16
		opMsg      = 2013
		opQuery    = 2004
		opReply    = 1
	)
	for {
		header := make([]byte, headerSize)
		if _, err := io.ReadFull(conn, header); err != nil {
			return
		}
		body := make([]byte, binary.LittleEndian.Uint32(header)-headerSize)
		if _, err := io.ReadFull(conn, body); err != nil {
			return
		}
		command, prefix, opcode := "hello", make([]byte, 5), uint32(opMsg)
		if binary.LittleEndian.Uint32(header[12:]) == opQuery {
			prefix, opcode = make([]byte, 20), opReply
			binary.LittleEndian.PutUint32(prefix[16:], 1)
		} else if elements, err := bson.Raw(body[5:]).Elements(); err == nil {
			command = elements[0].Key()
		}
		reply, err := bson.Marshal(s.reply(command))
		if err != nil {
			return
		}
		message := make([]byte, headerSize, headerSize+len(prefix)+len(reply))
		binary.LittleEndian.PutUint32(message, uint32(cap(message)))
		copy(message[8:12], header[4:8])
		binary.LittleEndian.PutUint32(message[12:], opcode)
		if _, err := conn.Write(append(append(message, prefix...), reply...)); err != nil {
			return
		}
	}
}

func (s *fakeServer) reply(command string) bson.D {
	switch command {
	case "hello", "isMaster", "ismaster":
		return bson.D{
			{Key: "ok", Value: 1}, {Key: "helloOk", Value: true}, {Key: "isWritablePrimary", Value: true}, {Key: "ismaster", Value: true},
			{Key: "minWireVersion", Value: 0}, {Key: "maxWireVersion", Value: 21},
			{Key: "maxBsonObjectSize", Value: 16 << 20}, {Key: "maxMessageSizeBytes", Value: 48 << 20}, {Key: "maxWriteBatchSize", Value: 100000},
		}
	case "find":
		return bson.D{{Key: "ok", Value: 1}, {Key: "cursor", Value: bson.D{
			{Key: "id", Value: int64(0)}, {Key: "ns", Value: "d.c"}, {Key: "firstBatch", Value: bson.A{}},
		}}}
	}
	if s.answer != nil {
		return s.answer(command)
	}
	if command == "findAndModify" {
		return bson.D{
			{Key: "ok", Value: 0}, {Key: "code", Value: 9}, {Key: "codeName", Value: "FailedToParse"},
			{Key: "errmsg", Value: "Failed to parse update: field must be of BSON type object"},
		}
	}
	return bson.D{{Key: "ok", Value: 1}, {Key: "n", Value: 1}}
}
