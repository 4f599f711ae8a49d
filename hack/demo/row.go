//go:build linux

/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/mongolock/operator/api/v1alpha1"
	"github.com/mongolock/operator/pkg/mongolock"
)

// row is a lock in the final table. Rows of Kubernetes and of MongoDB can be compared with ==.
type row struct {
	lock, state, holder string
	token, transitions  int64
}

// rowOfObject is what Kubernetes shows of a lock.
func rowOfObject(object v1alpha1.DistributedLock) row {
	status := object.Status
	return row{
		lock: object.LockID(), state: string(status.State), holder: status.Holder, token: status.FencingToken, transitions: status.Transitions,
	}
}

// rowOfState is what Kubernetes should show of a lock that MongoDB has so.
func rowOfState(state mongolock.State) row {
	r := row{lock: state.ID, state: string(v1alpha1.StateFree), token: state.Token, transitions: state.Grants}
	if state.Held() {
		r.state, r.holder = string(v1alpha1.StateHeld), state.Holders[0].Owner
	}
	return r
}

// compare returns the rows of Kubernetes, and in words where MongoDB differs.
func compare(objects []v1alpha1.DistributedLock, states map[string]mongolock.State) (rows []row, differences []string) {
	for _, object := range objects {
		shown := rowOfObject(object)
		rows = append(rows, shown)
		state, ok := states[shown.lock]
		if !ok {
			differences = append(differences, fmt.Sprintf("MongoDB does not have %s", shown.lock))
		} else if stored := rowOfState(state); shown != stored {
			differences = append(differences, fmt.Sprintf("kubectl shows %v, MongoDB has %v", shown, stored))
		}
	}
	slices.SortFunc(rows, func(a, b row) int { return cmp.Compare(a.lock, b.lock) })
	return rows, differences
}

// table renders rows under headers.
func table(rows []row) string {
	var text strings.Builder
	w := tabwriter.NewWriter(&text, 0, 0, 3, ' ', 0)
	fmt.Fprintln(w, "LOCK\tSTATE\tHOLDER\tTOKEN\tTRANSITIONS")
	for _, r := range rows {
		fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%d\n", r.lock, r.state, cmp.Or(r.holder, "-"), r.token, r.transitions)
	}
	_ = w.Flush() // into memory
	return text.String()
}
