//go:build linux

/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package main

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// ticks is what all processors of the machine did so far.
type ticks struct{ busy, total uint64 }

// machine reads the first line of /proc/stat: user, nice, system, idle, iowait, irq, softirq, steal, of which the two guests that
// follow are part already.
func machine() (ticks, error) {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return ticks{}, err
	}
	line, _, _ := bytes.Cut(text, []byte("\n"))
	fields := strings.Fields(string(line))
	if len(fields) < 9 {
		return ticks{}, fmt.Errorf("/proc/stat begins with %q", line)
	}
	var t ticks
	for i, field := range fields[1:9] {
		n, err := strconv.ParseUint(field, 10, 64)
		if err != nil {
			return ticks{}, fmt.Errorf("/proc/stat begins with %q", line)
		}
		t.total += n
		if i != 3 && i != 4 {
			t.busy += n
		}
	}
	return t, nil
}

// load is the share of all processors that was busy, of the whole machine and of the benchmark with all that it has started. A server
// that it has not started is no part of that.
type load struct{ machine, own float64 }

func (l load) String() string {
	return fmt.Sprintf("%.0f%% of the processors busy", 100*l.own) + l.foreign()
}

// foreign tells of other work if there was enough to disturb.
func (l load) foreign() string {
	if others := l.machine - l.own; others > 0.1 {
		return fmt.Sprintf(", and %.0f%% WITH OTHER WORK", 100*others)
	}
	return ""
}

// during is the load while f ran.
func during(f func() error) (load, error) {
	before, err := machine()
	own := descendants()
	if err != nil {
		return load{}, err
	}
	if err := f(); err != nil {
		return load{}, err
	}
	after, err := machine()
	if err != nil || after.total == before.total {
		return load{}, err
	}
	total := float64(after.total - before.total)
	var used uint64
	for pid, then := range descendants() {
		used += then - min(own[pid], then)
	}
	return load{machine: float64(after.busy-before.busy) / total, own: float64(used) / total}, nil
}

// descendants is what this process and all below it have used, by process. Those that ended meanwhile are missed.
func descendants() map[int]uint64 {
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	used, parents := map[int]uint64{}, map[int]int{}
	for _, stat := range stats {
		text, err := os.ReadFile(stat)
		if err != nil {
			continue // gone meanwhile
		}
		// "pid (name) state parent ...", where the name may hold anything; utime and stime are the 14th and 15th.
		head, tail, _ := strings.Cut(string(text), "(")
		fields := strings.Fields(tail[strings.LastIndexByte(tail, ')')+1:])
		if len(fields) < 13 {
			continue
		}
		pid, _ := strconv.Atoi(strings.TrimSpace(head))
		parents[pid], _ = strconv.Atoi(fields[1])
		user, _ := strconv.ParseUint(fields[11], 10, 64)
		system, _ := strconv.ParseUint(fields[12], 10, 64)
		used[pid] = user + system
	}
	maps.DeleteFunc(used, func(pid int, _ uint64) bool {
		own := os.Getpid()
		for pid != 0 && pid != own {
			pid = parents[pid]
		}
		return pid != own
	})
	return used
}

// cpuTime is the processor time that this process has used.
func cpuTime() (time.Duration, error) {
	var usage unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &usage); err != nil {
		return 0, err
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano()), nil
}

// residentBytes is how much memory this process occupies.
func residentBytes() (int64, error) {
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0, err
	}
	fields := strings.Fields(string(text))
	if len(fields) < 2 {
		return 0, fmt.Errorf("/proc/self/statm is %q", text)
	}
	pages, err := strconv.ParseInt(fields[1], 10, 64)
	return pages * int64(os.Getpagesize()), err
}
