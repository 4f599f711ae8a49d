//go:build linux

/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package resource

import (
	"net/rpc"
	"path/filepath"
	"testing"

	"github.com/mongolock/operator/hack/torture/history"
)

func TestResource(t *testing.T) {
	for name, guarded := range map[string]bool{"guarded": true, "unguarded": false} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			w, err := history.Create(filepath.Join(dir, "history"))
			if err != nil {
				t.Fatal(err)
			}
			server, err := Serve(filepath.Join(dir, "s"), guarded, w)
			if err != nil {
				t.Fatal(err)
			}
			client, err := rpc.Dial("unix", filepath.Join(dir, "s"))
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range []struct {
				token int64
				want  bool
			}{{5, true}, {5, true}, {4, !guarded}, {6, true}} {
				var accepted bool
				if err := client.Call(Method, Request{Lock: "x", Token: c.token}, &accepted); err != nil || accepted != c.want {
					t.Errorf("token %d: accepted %t, error %v, want %t", c.token, accepted, err, c.want)
				}
			}
			if err := client.Close(); err != nil {
				t.Error(err)
			}
			if err := server.Close(); err != nil {
				t.Error(err)
			}
			if err := w.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}
