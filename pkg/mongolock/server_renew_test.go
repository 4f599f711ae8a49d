/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package mongolock

import (
	"fmt"
	"testing"
	"time"
)

// Several leases of one client on one lock are renewed like those on many, and one that is lost takes no other with it.
func TestSharedLeasesOfOneClientAreRenewed(t *testing.T) {
	s := newTestServer(t)
	c := s.client(t, WithLease(3*time.Second))
	if err := c.SetPolicy(t.Context(), "x", Policy{Capacity: 5}); err != nil {
		t.Fatal(err)
	}
	var leases []*Lease
	for i := range 5 {
		leases = append(leases, mustLock(t, c, "x", Shared(), WithOwner(fmt.Sprint(i))))
	}
	if err := c.Evict(t.Context(), "x", leases[2].Token(), "to see what becomes of the others"); err != nil {
		t.Fatal(err)
	}
	await(t, 10*time.Second, "the evicted lease ends", leases[2].Done())
	eventually(t, 30*time.Second, "the others are renewed some times", func() bool {
		least := int64(1 << 62)
		for _, h := range s.stored(t, "x").State.Holders {
			least = min(least, h.Rev)
		}
		return least >= 4
	})
	for i, lease := range leases {
		if err := lease.Err(); (err != nil) != (i == 2) {
			t.Errorf("lease %d: %v", i, err)
		}
	}
	if doc := s.stored(t, "x"); len(doc.State.Holders) != 4 {
		t.Errorf("%d holders, want 4", len(doc.State.Holders))
	}
}
