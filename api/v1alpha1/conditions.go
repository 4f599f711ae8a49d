/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package v1alpha1

// The condition types of a DistributedLock.
const (
	// ConditionReady tells whether the mirror works: True means that the status shows the lock as MongoDB has it, whoever holds it, and
	// that the lock has the policy that the object declares, if it does. The reason tells what is wrong otherwise: in an outage the rest
	// of the status is the last that was known.
	ConditionReady = "Ready"

	// ConditionHeld tells whether somebody holds the lock. It is Unknown until the lock has been looked at once.
	ConditionHeld = "Held"

	// ConditionStalled is True when the object cannot be mirrored before its user, or the operator's, changes something; otherwise
	// it is absent.
	ConditionStalled = "Stalled"
)

// Reasons of the condition Ready.
const (
	// ReasonMirrored (True): the status shows the lock as MongoDB has it.
	ReasonMirrored = "Mirrored"

	// ReasonIDNotAllowed (False, and Stalled True): the lock id lies outside the object's namespace and the operator does not run
	// with --allow-foreign-ids.
	ReasonIDNotAllowed = "IdNotAllowed"

	// ReasonForeignDocument (False, and Stalled True): the document stored under the lock's id was not written by mongolock.
	ReasonForeignDocument = "ForeignDocument"

	// ReasonDuplicateID (False, and Stalled True): another object has the better claim to mirror the same lock. It is the one whose own
	// namespace the id begins with, else the older one.
	ReasonDuplicateID = "DuplicateId"

	// ReasonReadOnly (False, and Stalled True): the object was made by the operator for a lock that no object declares, or is for the
	// lock by which the operator elects its leader, and somebody put a policy into it.
	ReasonReadOnly = "ReadOnly"

	// ReasonPolicyNotApplied (False): MongoDB has another policy than the object declares, and the operator could not change that yet.
	ReasonPolicyNotApplied = "PolicyNotApplied"

	// ReasonStoreUnreachable (False): MongoDB has not answered for several seconds.
	ReasonStoreUnreachable = "StoreUnreachable"

	// ReasonStoreUnauthorized (False): MongoDB refused the operator's credentials, or they lack a privilege.
	ReasonStoreUnauthorized = "StoreUnauthorized"

	// ReasonStoreUnsupported (False): the server cannot run the lock engine.
	ReasonStoreUnsupported = "StoreUnsupported"

	// ReasonStoreNotConfigured (False): the operator has no usable connection string.
	ReasonStoreNotConfigured = "StoreNotConfigured"
)

// Reasons of the condition Held.
const (
	// ReasonAcquired (True): a holder acquired the lock and still has it.
	ReasonAcquired = "Acquired"

	// ReasonReleased (False): the last holder gave the lock back.
	ReasonReleased = "Released"

	// ReasonExpired (False): the last holder's lease ended without a release.
	ReasonExpired = "Expired"

	// ReasonEvicted (False): an administrator took the lock away from the last holder.
	ReasonEvicted = "Evicted"

	// ReasonNeverAcquired (False): MongoDB knows nothing of the lock. It was never acquired, or not for so long that it was purged.
	ReasonNeverAcquired = "NeverAcquired"

	// ReasonRemoved (False): the lock's document was removed from MongoDB while the lock was held.
	ReasonRemoved = "Removed"

	// ReasonNotMirrored (Unknown): the lock could not be looked at yet.
	ReasonNotMirrored = "NotMirrored"
)

// Reasons of the Kubernetes events about a DistributedLock. An outage is reported with the reason that the condition Ready has in it.
const (
	// EventLockAcquired: a holder acquired the lock.
	EventLockAcquired = "LockAcquired"

	// EventLockReleased: a holder gave the lock back.
	EventLockReleased = "LockReleased"

	// EventLockExpired: a holder's lease ended without a release.
	EventLockExpired = "LockExpired"

	// EventLockEvicted: an administrator took the lock away from a holder.
	EventLockEvicted = "LockEvicted"

	// EventMoreTransitions: transitions were left out because there were too many for an event each.
	EventMoreTransitions = "MoreTransitions"

	// EventStoreRecovered: the mirror works again after an outage.
	EventStoreRecovered = "StoreRecovered"

	// EventPolicyApplied: the policy that the object declares was written to MongoDB.
	EventPolicyApplied = "PolicyApplied"

	// EventPolicyNotCleared: the object was let go although its policy could not be cleared in MongoDB.
	EventPolicyNotCleared = "PolicyNotCleared"

	// EventHolderEvicted: the lock was taken away from the holder with the token in the evict annotation.
	EventHolderEvicted = "HolderEvicted"

	// EventEvictionRefused: the evict annotation could not be followed.
	EventEvictionRefused = "EvictionRefused"
)
