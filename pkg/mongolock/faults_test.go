/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package mongolock

import (
	"context"
	"errors"
	"sync/atomic"
)

// hook decides what becomes of a command. It calls apply when, and if, the server is to carry it out; its return is when the reply
// arrives, or the error that arrives instead.
type hook func(ctx context.Context, call fakeCall, apply func()) error

// on is a hook for the commands of one kind; the others are carried out at once.
func on(op string, h hook) hook {
	return func(ctx context.Context, call fakeCall, apply func()) error {
		if call.op != op {
			apply()
			return nil
		}
		return h(ctx, call, apply)
	}
}

// once is a hook for the first command of one kind.
func once(op string, h hook) hook {
	var done atomic.Bool
	return on(op, func(ctx context.Context, call fakeCall, apply func()) error {
		if done.Swap(true) {
			apply()
			return nil
		}
		return h(ctx, call, apply)
	})
}

// hang is a hook: the request is lost, and no answer comes while the caller waits.
func hang(ctx context.Context, call fakeCall, _ func()) error {
	<-ctx.Done()
	return classify(call.op, ctx.Err())
}

// loseReply is a hook: the command is carried out, and no answer comes while the caller waits.
func loseReply(ctx context.Context, call fakeCall, apply func()) error {
	apply()
	return hang(ctx, call, nil)
}

// breakReply is a hook: the command is carried out, and the connection breaks at once.
func breakReply(_ context.Context, call fakeCall, apply func()) error {
	apply()
	return errBroken(call.op)
}

// unreachable is a hook: no server is found, so nothing is sent.
func unreachable(_ context.Context, call fakeCall, _ func()) error {
	return &storeError{operation: call.op, kind: ErrUnreachable, detail: "no server", retry: true, cause: errors.New("no server")}
}

// errBroken is the error of a connection that broke: the command may have been carried out.
func errBroken(op string) error { return classify(op, errors.New("connection reset")) }

func errUnauthorized(op string) error {
	return &storeError{operation: op, kind: ErrUnauthorized, detail: "not allowed", cause: errors.New("code 13")}
}
