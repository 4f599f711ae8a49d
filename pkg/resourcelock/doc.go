/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

// Package resourcelock elects a leader through MongoDB. [Lock] implements client-go's resourcelock.Interface on a
// [github.com/mongolock/operator/pkg/mongolock.Client], so that a LeaderElector, and with it any controller-runtime manager, keeps
// its leadership in MongoDB instead of in a Lease object. [ConfigureManager] sets up a manager.
//
// # What is guaranteed
//
//   - At most one Lock holds the record at a time, as judged by the database server's clock. No client clock is compared with
//     another one, and two processes with the same identity still do not both lead: a grant is known by a random id.
//   - Every term of leadership has a fencing token, [Lock.Token], larger than that of every earlier term.
//   - The channel of [Lock.Lost] is closed when the term ends: at the latest when the local deadline of the lease passes, which is
//     before the server's, and this needs neither the network nor the elector.
//   - A loss is final for the term. The elector of client-go would renew on through its renew deadline, and silently lead again if
//     the record became free in between; this lock refuses until the elector has stopped.
//   - A deposed leader that cleans up does not touch its successor's record.
//   - Every call ends by itself: after the request timeout, and while leading at the local deadline of the lease. Only [Lock.Get] of a
//     follower takes longer while nothing changes, up to ten minutes; see there.
//   - A record whose holder is dead is taken over by the first candidate that looks after its lease ended, also by one that was
//     started later: the server says that the lease is over, nobody has to watch it for a lease duration.
//
// # What is not
//
// The elector keeps the leader's work running for up to the renew deadline plus the retry period after a loss, because it is asked
// for nothing else. Work that must not overlap has to stop at [Lock.Lost]; a manager does that if it is started by [Lock.Run]. Even so a
// process that is paused, or that is in the middle of a request, may act after its term: only the resource itself can refuse it, by comparing
// fencing tokens. And leadership needs the database: while it is unreachable for longer than the renew deadline nobody leads.
//
// Coordinated leader election (client-go's LeaderElectionConfig.Coordinated) needs a Lease object and cannot be used.
package resourcelock
