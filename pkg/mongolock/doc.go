/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

// Package mongolock is a distributed lock on MongoDB, judged by the server's clock, with fencing tokens.
//
// A [Client] keeps locks in one collection, one document per lock. [Client.TryLock] and [Client.Lock] return a [Lease], which the
// client renews by itself until it is released:
//
//	lease, err := client.Lock(ctx, "reports/nightly")
//	if err != nil {
//		return err
//	}
//	defer lease.Unlock(ctx)
//	return write(lease.Context(ctx), lease.Token())
//
// [Client.Do] does the same around a function. [Client.Get] and [Client.List] tell who holds what, [Client.Watch] what happens.
//
// # What is guaranteed
//
//   - At most one live grant per lock, as judged by the clock of the server. No client's wall clock decides anything.
//   - Each grant has a fencing token larger than those of all earlier grants of the lock, also after the lock expired. After its
//     document was purged or deleted too, as long as the server's clock has not gone back to before the last grant.
//   - The holder learns of a loss: [Lease.Done] is closed at the latest when the lease's deadline passes, counted from before the
//     request was sent, even if the network is dead and a renewal hangs. A lost lease stays lost. Of a suspension of the machine
//     Done tells within a second after its end, [Lease.Err] at once.
//   - A lock is free again at the latest one lease after its holder died.
//   - A request whose reply was lost is recognised when it is repeated; nobody can renew or release another's grant.
//
// # What is not
//
// A lease cannot stop a process that was paused and does not know yet that its time is over. The resource must help: hand it the
// token with each request, and let it refuse tokens smaller than the largest it has seen.
//
//	if token < r.largest {
//		return errors.New("stale holder")
//	}
//	r.largest = token
//
// One assumption about clocks remains. With lease L, margin m (see [WithMargin]), clock difference e between the servers that stamp
// and judge a lease (the old and the new primary, or two mongos routers), and clock rate drift r between holder and server, exclusion
// by the clock alone needs m >= e + r*L. Fencing needs no such thing while the document exists.
//
// # How it works
//
// Every operation is one command that the server evaluates atomically on the lock's document: acquire is a findAndModify with an
// update pipeline, renew an updateMany for up to 500 leases at once, release an updateOne. A refused acquire writes nothing. Each
// grant carries a random id made by the client before the first send, which is what tells its repetition from somebody else's
// request. Writes wait for a majority, reads go to the primary.
//
// [Client.Lock] waits by trying again: when the holder's lease ends, and after each retry period.
package mongolock
