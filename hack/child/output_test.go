//go:build linux

/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package child

import (
	"context"
	"errors"
	"os/exec"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestOutput(t *testing.T) {
	if out, err := Output(t.Context(), exec.Command("echo", "hello")); err != nil || string(out) != "hello\n" {
		t.Errorf("got %q, %v", out, err)
	}
	_, err := Output(t.Context(), exec.Command("sh", "-c", "echo why >&2; exit 1"))
	if want := "sh -c echo why >&2; exit 1: exit status 1\nwhy"; err == nil || err.Error() != want {
		t.Errorf("got %v", err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	enough := errors.New("enough")
	cancel(enough)
	// The child of the command would keep its output open if it were not killed too.
	if _, err := Output(ctx, exec.Command("sh", "-c", "sleep 60; true")); !errors.Is(err, enough) {
		t.Errorf("got %v", err)
	}
}
