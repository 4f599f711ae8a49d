//go:build linux

/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package main

import (
	"context"
	"fmt"
	"math"
	"sync"

	"github.com/mongolock/operator/hack/bench/gauge"
	"github.com/mongolock/operator/hack/task"
)

// cut is what an outage of MongoDB did, as the operator sees it: the clients have connections of their own, and go on.
type cut struct {
	window         // from before the outage until the operator is at rest again
	Away   float64 `json:"away_s"`
	// Ended are when the operator's process ended, from the beginning of the outage; it was started anew each time.
	Ended []float64 `json:"operator_ended_s"`
	// Told is how many objects said that MongoDB does not answer. First and All are when the first and the last of all objects did, from the
	// beginning of the outage; null if that did not happen within it.
	Told  int      `json:"objects_told"`
	First *float64 `json:"first_unreachable_s"`
	All   *float64 `json:"all_unreachable_s"`
	// Mirrored is from the end of the outage until the operator was ready and all objects showed their locks.
	Mirrored float64 `json:"all_mirrored_s"`

	began int64
}

// outage cuts the operator off from MongoDB for a while. Its leader is elected there, so that the process ends when it may lead no longer,
// and is started again as the kubelet does.
func (b *bench) outage(ctx context.Context, r *result) error {
	b.rest(ctx)
	b.screen.Say("  outage: the operator is cut off from MongoDB for %s", outageTime)
	defer b.screen.During(ctx, "enduring")()
	o := &cut{}
	supervised, release := context.WithCancel(ctx)
	defer release()
	var keeping sync.WaitGroup
	var ends []int64
	var failed error
	keeping.Go(func() { ends, failed = b.keeper.supervise(supervised) })
	w, err := b.during(ctx, func() error {
		b.cutOff(ctx, o, r.Objects)
		if err := b.recovered(ctx, o, r.Objects); err != nil {
			return err
		}
		b.rest(ctx)
		_, err := b.observer.awaitAll(ctx, settleTime, "all objects still show Held", held, r.Objects)
		return err
	})
	release()
	keeping.Wait()
	if failed != nil {
		return failed
	}
	if err != nil {
		return err
	}
	o.window = *w
	for _, end := range ends {
		o.Ended = append(o.Ended, seconds(end-o.began))
	}
	perObject := math.Round(w.Status/float64(r.Objects)*1000) / 1000
	r.Outage, r.PerObject = o, &perObject
	b.screen.Say("  %d objects were told, %d restarts, all mirrored %.1f s after the end, %.2f status writes per object", o.Told, len(o.Ended), o.Mirrored, perObject)
	return b.agree(ctx, r.Objects)
}

// cutOff is the outage itself.
func (b *bench) cutOff(ctx context.Context, o *cut, n int) {
	b.observer.forget()
	o.began = gauge.Now()
	b.stack.proxy.Refuse()
	defer b.stack.proxy.Heal()
	for away := 0.0; away < outageTime.Seconds() && ctx.Err() == nil; task.Wait(ctx, look) {
		away = seconds(gauge.Now() - o.began)
		_, o.Told = b.observer.count(unreachable)
		if o.Told > 0 && o.First == nil {
			o.First = &away
		}
		if o.Told == n && o.All == nil {
			o.All = &away
		}
	}
	o.Away = seconds(gauge.Now() - o.began)
}

// recovered waits until all is as before.
func (b *bench) recovered(ctx context.Context, o *cut, n int) error {
	begin := gauge.Now()
	limit := settleTime + minute + patience(n) // the kubelet takes its time
	what := fmt.Sprintf("the operator is ready again, and all %d objects show Held", n)
	at, err := b.observer.await(ctx, limit, what, func() bool {
		now, _ := b.observer.count(held)
		return now == n && b.keeper.process().ready(ctx)
	})
	o.Mirrored = seconds(at - begin)
	_, o.Told = b.observer.count(unreachable)
	return err
}
