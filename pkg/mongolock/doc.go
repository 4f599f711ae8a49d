/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

// Package mongolock is a distributed lock on MongoDB, judged by the server's clock, with fencing tokens, a fair queue, shared locks and
// a stream of events.
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
// What else there is:
//
//   - [Client.TryLock] returns at once, with a [*HeldError] that tells who holds the lock. [Client.Do] locks around a function.
//   - [Shared] and [Client.SetPolicy] make a semaphore or a read-write lock. A policy can also suspend a lock or limit its leases.
//   - [Client.Get] and [Client.List] tell who holds what and who waits, [Client.Watch] what happens.
//   - [Client.Evict] takes a lock away from a holder.
//   - [WithMetrics] and [WithLogger] tell what the client does.
//
// # What is guaranteed
//
//   - At most one live exclusive grant per lock, as judged by the clock of the server, and no more shared ones than the lock's capacity.
//     No client's wall clock decides anything.
//   - Each grant has a fencing token larger than those of all earlier grants of the lock, also after the lock expired. After its
//     document was purged or deleted too, as long as the server's clock has not gone back to before the last grant.
//   - The holder learns of a loss: [Lease.Done] is closed at the latest when the lease's deadline passes, counted from before the
//     request was sent, even if the network is dead and a renewal hangs. A lost lease stays lost. After a suspension of the machine
//     Done tells within a second and [Lease.Err] at once, on Linux; on other systems whose clocks stand still meanwhile both are late.
//   - A lock is free again at the latest one lease after its holder died.
//   - Those who wait in [Client.Lock] are granted the lock in the order of their arrival, and nobody overtakes them, unless with
//     [WithoutQueue]. One who died while waiting costs the others two seconds at most once the lock is handed over to it; but one that
//     wants alone what others share keeps those behind it out for up to twenty, until its place has ended and they have asked again.
//   - A request whose reply was lost is recognised when it is repeated; nobody can renew or release another's grant.
//   - The events of a lock are numbered without gaps and written together with the change they tell of. A watcher gets each once and in
//     order, or is told how many it missed.
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
// That is for exclusive holders; what is left of it for those who share a lock, [Lease.Token] says.
//
// One assumption about clocks remains. With lease L, margin m (see [WithMargin]), clock difference e between the servers that stamp
// and judge a lease (the old and the new primary, or two mongos routers), and clock rate drift r between holder and server, exclusion
// by the clock alone needs m >= e + r*L. Fencing needs no such thing while the document exists.
//
// # How it works
//
// Every operation is one command that the server evaluates atomically on the lock's document: acquire is a findAndModify with an
// update pipeline, renew an updateMany for up to 500 leases at once, release an update. A refused acquire writes nothing. Each grant
// carries a random id made by the client before the first send, which is what tells its repetition from somebody else's request.
// Writes wait for a majority, reads go to the primary.
//
// A call of [Client.Lock] that finds the lock taken stands in a queue in the document, in which a client has one place for each lock,
// however many of its goroutines wait: they stand in a line of their own before it. The release hands the lock over to the first of the
// queue in the same command. The new owner has it for two seconds, until it has noticed and confirmed, and then for its whole lease.
//
// How soon it notices depends on the server. MongoDB has capped collections with tailable cursors: there each client that changes a
// lock rings the doorbell, a small collection that those who wait and watch listen to (see [WithFeed]), and the waiter knows in about a
// round trip. Where there is no such thing, the next waiter looks at the lock: every 10 ms at first, and less often the longer it waits,
// every 250 ms at most, so that it adds about half a hundredth to the time waited. Who is further behind looks less often, and nobody looks
// when nobody waits. A message that is lost costs time only: a waiter also asks after its retry period, and when the holder's lease ends.
package mongolock
