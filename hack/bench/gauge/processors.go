//go:build linux

/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package gauge

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Ticks is what all processors of the machine did so far.
type Ticks struct{ Busy, Total uint64 }

// Machine reads the first line of /proc/stat: user, nice, system, idle, iowait, irq, softirq, steal, of which the two guests that
// follow are part already.
func Machine() (Ticks, error) {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return Ticks{}, err
	}
	line, _, _ := bytes.Cut(text, []byte("\n"))
	fields := strings.Fields(string(line))
	if len(fields) < 9 {
		return Ticks{}, fmt.Errorf("/proc/stat begins with %q", line)
	}
	var t Ticks
	for i, field := range fields[1:9] {
		n, err := strconv.ParseUint(field, 10, 64)
		if err != nil {
			return Ticks{}, fmt.Errorf("/proc/stat begins with %q", line)
		}
		t.Total += n
		if i != 3 && i != 4 {
			t.Busy += n
		}
	}
	return t, nil
}

// Process is what is known of a process.
type Process struct {
	Parent int
	Name   string // at most 15 bytes of the program's
	// Ticks are what it has used itself, and Reaped what its children have used that have ended.
	Ticks, Reaped uint64
}

// Descendants are this process and all below it, by process id.
func Descendants() map[int]Process {
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	all := map[int]Process{}
	for _, stat := range stats {
		text, err := os.ReadFile(stat)
		if err != nil {
			continue // gone meanwhile
		}
		if pid, p, ok := parseStat(string(text)); ok {
			all[pid] = p
		}
	}
	own := os.Getpid()
	below := func(pid int) bool {
		for pid != 0 && pid != own {
			pid = all[pid].Parent
		}
		return pid == own
	}
	found := map[int]Process{}
	for pid, p := range all {
		if below(pid) {
			found[pid] = p
		}
	}
	return found
}

// parseStat reads "pid (name) state parent ...", where the name may hold anything; utime, stime, cutime and cstime are the 14th to 17th.
func parseStat(text string) (pid int, p Process, ok bool) {
	head, tail, _ := strings.Cut(text, "(")
	end := strings.LastIndexByte(tail, ')')
	fields := strings.Fields(tail[end+1:])
	if end < 0 || len(fields) < 15 {
		return 0, p, false
	}
	pid, _ = strconv.Atoi(strings.TrimSpace(head))
	p.Name = tail[:end]
	p.Parent, _ = strconv.Atoi(fields[1])
	var n [4]uint64
	for i := range n {
		n[i], _ = strconv.ParseUint(fields[11+i], 10, 64)
	}
	p.Ticks, p.Reaped = n[0]+n[1], n[2]+n[3]
	return pid, p, true
}
