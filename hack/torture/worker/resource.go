//go:build linux

/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package worker

import (
	"errors"
	"net/rpc"

	"github.com/mongolock/operator/hack/torture/history"
	"github.com/mongolock/operator/hack/torture/resource"
)

// errStale is the resource's refusal of a token.
var errStale = errors.New("the resource has seen a larger token")

// resourceClient writes to what the locks protect.
type resourceClient struct{ connection *rpc.Client }

func dialResource(socket string) (*resourceClient, error) {
	connection, err := rpc.Dial("unix", socket)
	if err != nil {
		return nil, err
	}
	return &resourceClient{connection}, nil
}

func (r *resourceClient) write(op history.Operation) error {
	var accepted bool
	request := resource.Request{Lock: op.Lock, Token: op.Token, Operation: op.ID}
	if err := r.connection.Call(resource.Method, request, &accepted); err != nil {
		return err
	}
	if !accepted {
		return errStale
	}
	return nil
}

func (r *resourceClient) close() error { return r.connection.Close() }
