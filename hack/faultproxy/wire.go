/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package faultproxy

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"
	"go.mongodb.org/mongo-driver/v2/x/mongo/driver/wiremessage"
)

const (
	headerSize     = 16
	maxMessageSize = 64 << 20 // servers refuse more than 48,000,000 bytes
)

var errMalformed = errors.New("faultproxy: malformed request")

// message is one whole message of the wire protocol.
type message struct {
	id, answerTo int32
	opcode       wiremessage.OpCode
	body         []byte // after the header
	raw          []byte // header and body
}

func readMessage(r io.Reader) (message, error) {
	var m message
	header := make([]byte, headerSize)
	if _, err := io.ReadFull(r, header); err != nil {
		return m, err
	}
	var size int32
	size, m.id, m.answerTo, m.opcode, _, _ = wiremessage.ReadHeader(header)
	if size < headerSize || size > maxMessageSize {
		return m, fmt.Errorf("faultproxy: message of %d bytes, want %d to %d", size, headerSize, maxMessageSize)
	}
	m.raw = make([]byte, size)
	m.body = m.raw[copy(m.raw, header):]
	_, err := io.ReadFull(r, m.body)
	return m, err
}

// command returns the name of the request's command (the first key) and the command as one document: the document
// sequences in which drivers send bulk data (updates, deletes, documents) are folded in as arrays. A message of another
// kind, such as the legacy OP_QUERY in which drivers send the first hello of a connection, has only a name.
func (m message) command() (string, bson.Raw, error) {
	if m.opcode != wiremessage.OpMsg {
		return m.opcode.String(), nil, nil
	}
	command, ok := msgCommand(m.body)
	if !ok {
		return "", nil, errMalformed
	}
	first, err := command.IndexErr(0)
	if err != nil {
		return "", nil, errMalformed
	}
	return first.Key(), bson.Raw(command), nil
}

func msgCommand(body []byte) (bsoncore.Document, bool) {
	flags, rest, ok := wiremessage.ReadMsgFlags(body)
	if !ok {
		return nil, false
	}
	if flags&wiremessage.ChecksumPresent != 0 {
		rest = rest[:max(0, len(rest)-4)]
	}
	var command bsoncore.Document
	var bulk []byte // elements that go to the end of the command
	for len(rest) > 0 {
		var section wiremessage.SectionType
		section, rest, _ = wiremessage.ReadMsgSectionType(rest)
		switch section {
		case wiremessage.SingleDocument:
			command, rest, ok = wiremessage.ReadMsgSectionSingleDocument(rest)
		case wiremessage.DocumentSequence:
			var name string
			var docs []bsoncore.Document
			name, docs, rest, ok = wiremessage.ReadMsgSectionDocumentSequence(rest)
			list := bsoncore.NewArrayBuilder()
			for _, doc := range docs {
				list.AppendDocument(doc)
			}
			bulk = bsoncore.AppendArrayElement(bulk, name, list.Build())
		default:
			ok = false
		}
		if !ok {
			return nil, false
		}
	}
	if len(command) == 0 || len(bulk) == 0 {
		return command, len(command) > 0
	}
	whole := append(command[:len(command)-1:len(command)-1], bulk...)
	whole = append(whole, 0)
	binary.LittleEndian.PutUint32(whole, uint32(len(whole)))
	return whole, true
}
