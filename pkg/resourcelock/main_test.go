/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package resourcelock

import (
	"fmt"
	"os"
	"testing"

	"github.com/mongolock/operator/hack/servers/servertest"
)

func TestMain(m *testing.M) {
	if os.Getenv(envRole) != "" {
		if err := managerProcess(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	servertest.Run(m, servertest.MongoDB, servertest.Kubernetes)
}
