/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package v1alpha1

import "testing"

func TestLockID(t *testing.T) {
	for _, tt := range []struct {
		id, want string
		foreign  bool
	}{
		{"", "orders/report", false},
		{"orders/report", "orders/report", false},
		{"orders/a/b", "orders/a/b", false},
		{"billing/report", "billing/report", true},
		{"orders", "orders", true},
		{"orders2/report", "orders2/report", true},
		{"/orders/report", "/orders/report", true},
	} {
		lock := &DistributedLock{Spec: DistributedLockSpec{ID: tt.id}}
		lock.Namespace, lock.Name = "orders", "report"
		if got := lock.LockID(); got != tt.want || lock.HasForeignID() != tt.foreign {
			t.Errorf("id %q: lock %q, foreign %t; want %q, %t", tt.id, got, lock.HasForeignID(), tt.want, tt.foreign)
		}
	}
}
