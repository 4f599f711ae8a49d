/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

// Package resourcelocktest is a conformance kit for client-go's resourcelock.Interface: it runs scenarios against any implementation, from
// outside, with real electors, and reports what each did. It knows nothing of how the lock is stored.
//
// Give [Run] a function that makes a [Backend]: an election of its own for each scenario. What a backend cannot do, such as to break a
// connection or to delete the record, may be left out; the scenarios that need it are reported as not run. Scenarios that an implementation
// is known to fail can be named: they have to fail then, and by what they are about, so that a list of known failures stays true.
//
// The names are C for the contract between elector and lock, S for safety, V for liveness and E for the elector's use of the lock. Each
// scenario says in a sentence what it asks for; together they are stricter than client-go's own documentation, and LeaseLock fails some.
//
// # What is not in the kit
//
// The scenarios were numbered before there was a kit, and it does not have all of them. An implementation has to test these itself:
//
//   - C6 in part: a recorder of events that hangs. The recorder is given to the lock by a constructor that the kit does not know.
//   - S2, clocks that are wrong or jump, S3, a failover of the database during a renewal, and S14, a write that a majority does not
//     confirm: they are faults of the store, not of a connection.
//   - S15, a request that arrives when its sender has given it up, and S16, a candidate cancelled in the middle of a take-over: the one
//     request has to be caught on its way, which only a proxy that understands the protocol can.
//   - S18, a process that is paused, and whose writes with the old token the resource refuses: it needs a process and a resource.
//   - S19, a gate that is closed when leadership is given up, E3, two locks as one, E4, the check of timings, E5, the metrics' label, and
//     E6, leader election switched off: they are about things that an implementation may have beside the lock.
//   - V6, slow answers for ten minutes, and E2, three managers under random faults: they take too long, and belong to a soak.
//
// S10 is S9 with a client that has no timeout. The kit's S9 is that one, as [Backend] asks for such clients.
//
// Where a number was given, the kit makes do with less, as a mistake that it can find shows in the first few: 20 candidates in C9, 100
// terms in S4, 100 runs in E7, one phase of the renewals in S9, one follower in V1. To try more phases, run the test more often.
package resourcelocktest
