/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package v1alpha1

import (
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Names in the metadata of a DistributedLock.
const (
	// EvictAnnotation, set to a fencing token by a person, has the operator take the lock away from the holder with that token. The
	// operator removes it when it has done so, or cannot.
	EvictAnnotation = "locks.mongolock.dev/evict"

	// PolicyFinalizer is on objects whose policy the operator has to clear in MongoDB before they may go. An object that declares no
	// policy has no finalizer.
	PolicyFinalizer = "locks.mongolock.dev/policy"

	// DiscoveredLabel is "true" on the read-only objects that the operator makes, with --mirror-undeclared, for locks that no object
	// declares.
	DiscoveredLabel = "locks.mongolock.dev/discovered"
)

// Bounds of the lists in a status.
const (
	// MaxHolders is how many holders a status lists; HolderCount has the full number.
	MaxHolders = 32
	// MaxEvents is how many of the lock's last events a status lists.
	MaxEvents = 10
)

// DistributedLockSpec says which lock is mirrored, and may declare a policy for it.
//
// The policy is capacity, suspend and maxLeaseDuration. While none of them is set the operator leaves the lock's policy in MongoDB
// alone, whoever set it. As soon as one is set the object declares the whole policy, the others having their defaults: the operator
// brings it into MongoDB, where it binds every client, and puts it right when somebody changes it there. When the last of them is taken
// out, or the object is deleted, the whole policy in MongoDB goes back to the defaults, also what a program has set besides.
//
// Setting the id later, or dropping it, would silently mirror another lock, so neither is allowed.
// +kubebuilder:validation:XValidation:rule="has(self.id) == has(oldSelf.id) && (!has(self.id) || self.id == oldSelf.id)",message="id is immutable, it can be neither changed nor set nor removed later: delete this object and create one with the other id (that does not touch the locks)"
type DistributedLockSpec struct {
	// id is the lock's id in MongoDB, the one given to the library, 1 to 512 bytes. It defaults to "<namespace>/<name>" of this
	// object, and must begin with "<namespace>/" unless the operator runs with --allow-foreign-ids. It is immutable.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	// +kubebuilder:validation:XValidation:rule="size(bytes(self)) <= 512",message="id must be at most 512 bytes in UTF-8"
	// +kubebuilder:validation:XValidation:rule="self.matches('^[^\\\\p{Cc}]*$')",message="id must not contain control characters (tabs, line breaks, ...)"
	// +kubebuilder:validation:XValidation:rule="self.trim() == self",message="id must not begin or end with white space"
	// +kubebuilder:validation:XValidation:rule="!self.startsWith('mongolock:selftest/')",message="id must not begin with mongolock:selftest/, which is reserved"
	ID string `json:"id,omitempty"`

	// capacity is how many holders that share the lock it has at most, 1 to 1000, default 1. A holder that does not share always has the
	// lock alone. Lowering it takes nothing away; it only stops new grants.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000
	Capacity *int32 `json:"capacity,omitempty"`

	// suspend stops new grants, default false. Present holders keep the lock and renew it; see the annotation
	// locks.mongolock.dev/evict.
	// +optional
	Suspend *bool `json:"suspend,omitempty"`

	// maxLeaseDuration is the longest lease that is granted, 1s to 24h in whole milliseconds, such as 30s, 1.5s or 1h30m; default no limit
	// but 24h. Who asks for more gets this much. It concerns new grants only.
	// +optional
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Pattern=`^([0-9]{1,8}(h|m|s|ms)|[0-9]{1,8}\.[0-9]{1,3}s){1,4}$`
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('1s') && duration(self) <= duration('24h')",message="maxLeaseDuration must be 1s to 24h"
	MaxLeaseDuration *metav1.Duration `json:"maxLeaseDuration,omitempty"`
}

// DeclaresPolicy tells whether one of the fields of the policy is set.
func (s *DistributedLockSpec) DeclaresPolicy() bool {
	return s.Capacity != nil || s.Suspend != nil || s.MaxLeaseDuration != nil
}

// LockState is the state of a lock in one word.
// +kubebuilder:validation:Enum=Held;Free
type LockState string

const (
	// StateHeld means that somebody holds the lock.
	StateHeld LockState = "Held"
	// StateFree means that nobody holds the lock.
	StateFree LockState = "Free"
)

// LockEventType says what happened to a lock. More types may come.
// +kubebuilder:validation:MaxLength=32
type LockEventType string

const (
	// LockEventAcquired means that a holder acquired the lock.
	LockEventAcquired LockEventType = "Acquired"
	// LockEventReleased means that a holder gave the lock back.
	LockEventReleased LockEventType = "Released"
	// LockEventExpired means that a holder's lease ended without a release.
	LockEventExpired LockEventType = "Expired"
	// LockEventEvicted means that an administrator took the lock away from a holder.
	LockEventEvicted LockEventType = "Evicted"
)

// LockHolder is one grant of the lock.
type LockHolder struct {
	// owner is the name that the holder gave itself.
	// +required
	// +kubebuilder:validation:MaxLength=256
	Owner string `json:"owner"`

	// token is the grant's fencing token. It is larger than every earlier token of this lock.
	// +required
	Token int64 `json:"token"`

	// acquiredAt is when the lock was granted, by the database server's clock.
	// +required
	AcquiredAt metav1.MicroTime `json:"acquiredAt"`

	// leaseDuration is how long the lock outlives its holder: the lease is renewed long before it ends. When it would end is not
	// shown, because that changes with every renewal.
	// +required
	LeaseDuration metav1.Duration `json:"leaseDuration"`
}

// LockEvent is one transition of the lock.
type LockEvent struct {
	// seq numbers the lock's events without gaps, from 1. It starts again when MongoDB has purged a lock that was not used for long.
	// +required
	Seq int64 `json:"seq"`

	// type says what happened: Acquired, Released, Expired or Evicted. More types may come.
	// +required
	Type LockEventType `json:"type"`

	// owner is the holder concerned.
	// +optional
	// +kubebuilder:validation:MaxLength=256
	Owner string `json:"owner,omitempty"`

	// token is the fencing token of the grant concerned.
	// +required
	Token int64 `json:"token"`

	// at is the database server's time of the transition.
	// +required
	At metav1.MicroTime `json:"at"`
}

// DistributedLockStatus shows the lock as the operator last saw it in MongoDB.
//
// It changes when the lock changes hands or the mirror fails or recovers, and never because a lease was renewed. Times have
// microseconds (metav1.MicroTime), as the API machinery would cut the database's milliseconds to whole seconds otherwise: a lock can
// change hands many times in a second, and what happened first must be seen.
type DistributedLockStatus struct {
	// observedGeneration is the generation of the spec that this status belongs to; -1 until the operator has seen the object.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// conditions are Ready (the mirror works), Held (somebody holds the lock), Stalled (the object needs its user; absent otherwise).
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=8
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// id is the id of the lock that is mirrored.
	// +optional
	// +kubebuilder:validation:MaxLength=512
	ID string `json:"id,omitempty"`

	// state is Held or Free.
	// +optional
	State LockState `json:"state,omitempty"`

	// holder is the owner of the first entry of holders.
	// +optional
	// +kubebuilder:validation:MaxLength=256
	Holder string `json:"holder,omitempty"`

	// holders are the present holders, at most 32, oldest grant first.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=32
	Holders []LockHolder `json:"holders,omitempty"`

	// holderCount is the number of present holders.
	// +optional
	// +kubebuilder:validation:Minimum=0
	HolderCount int32 `json:"holderCount,omitempty"`

	// waiterCount is the number of processes that wait in the lock's queue. A change of the queue alone shows after some seconds;
	// that one of them has died, within a minute.
	// +optional
	// +kubebuilder:validation:Minimum=0
	WaiterCount int32 `json:"waiterCount,omitempty"`

	// capacity is how many holders that share the lock it has at most, as MongoDB has it, whoever set it. Absent while MongoDB has no
	// record of the lock.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Capacity int32 `json:"capacity,omitempty"`

	// suspended tells that no new grants are made, as MongoDB has it, whoever set it.
	// +optional
	Suspended bool `json:"suspended,omitempty"`

	// maxLeaseDuration is the longest lease that is granted, as MongoDB has it, whoever set it; absent if there is no limit.
	// +optional
	MaxLeaseDuration *metav1.Duration `json:"maxLeaseDuration,omitempty"`

	// fencingToken is the last token granted, to the present holder or the one before.
	// +optional
	FencingToken int64 `json:"fencingToken,omitempty"`

	// lastTransitionTime is when the lock last changed, by the database server's clock.
	// +optional
	LastTransitionTime *metav1.MicroTime `json:"lastTransitionTime,omitempty"`

	// transitions is how many times the lock was granted. It starts again when MongoDB has purged a lock that was not used for long.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Transitions int64 `json:"transitions,omitempty"`

	// events are the lock's last transitions, at most 10, oldest first.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=10
	Events []LockEvent `json:"events,omitempty"`
}

// DistributedLock mirrors a lock held in MongoDB, so that kubectl shows who holds it. Creating one takes no lock; deleting one frees
// none.
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:shortName=dlock,categories=mongolock,singular=distributedlock
// +kubebuilder:subresource:status
// +kubebuilder:selectablefield:JSONPath=`.status.state`
// +kubebuilder:selectablefield:JSONPath=`.status.holder`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`,description="Whether the status shows the lock, with its declared policy"
// +kubebuilder:printcolumn:name="State",type=string,JSONPath=`.status.state`,description="Held or Free"
// +kubebuilder:printcolumn:name="Holder",type=string,JSONPath=`.status.holder`,description="Who holds the lock"
// +kubebuilder:printcolumn:name="Token",type=integer,format=int64,JSONPath=`.status.fencingToken`,description="The last fencing token granted"
// +kubebuilder:printcolumn:name="Since",type=date,JSONPath=`.status.lastTransitionTime`,description="When the lock last changed hands"
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Waiters",type=integer,format=int32,priority=1,JSONPath=`.status.waiterCount`,description="How many processes wait for the lock"
// +kubebuilder:printcolumn:name="Capacity",type=integer,format=int32,priority=1,JSONPath=`.status.capacity`,description="How many holders may share the lock"
// +kubebuilder:printcolumn:name="Suspended",type=boolean,priority=1,JSONPath=`.status.suspended`,description="Whether new grants are stopped"
// +kubebuilder:printcolumn:name="Id",type=string,priority=1,JSONPath=`.status.id`,description="The lock's id in MongoDB"
// +kubebuilder:printcolumn:name="Transitions",type=integer,format=int64,priority=1,JSONPath=`.status.transitions`,description="How many times the lock was granted"
// +kubebuilder:printcolumn:name="Reason",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`,description="Why the mirror works or not"
type DistributedLock struct {
	metav1.TypeMeta `json:",inline"`

	// metadata is that of every object.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitzero"`

	// spec says which lock is mirrored.
	// +optional
	// +kubebuilder:default={}
	Spec DistributedLockSpec `json:"spec,omitzero"`

	// status shows the lock as the operator last saw it.
	// +optional
	// +kubebuilder:default:={"observedGeneration":-1}
	Status DistributedLockStatus `json:"status,omitzero"`
}

// LockID returns the id of the lock in MongoDB: that of the spec, or "<namespace>/<name>".
func (d *DistributedLock) LockID() string {
	if d.Spec.ID != "" {
		return d.Spec.ID
	}
	return d.Namespace + "/" + d.Name
}

// HasForeignID tells whether the lock's id lies outside the object's own namespace.
func (d *DistributedLock) HasForeignID() bool {
	return !strings.HasPrefix(d.LockID(), d.Namespace+"/")
}

// DistributedLockList is a list of DistributedLocks.
//
// +kubebuilder:object:root=true
type DistributedLockList struct {
	metav1.TypeMeta `json:",inline"`

	// +optional
	metav1.ListMeta `json:"metadata,omitzero"`

	Items []DistributedLock `json:"items"`
}
