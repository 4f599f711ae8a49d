//go:build linux

/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package main

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// folderPrefix begins the names of the demo's folders, serverPrefix those of the servers'.
const (
	folderPrefix = "mongolock-demo-"
	serverPrefix = "mongolock-"
)

// makeFolder makes a folder and locks it for the life of this process. Folders that nobody has locked belong to demos that were
// killed, and are removed. The returned function removes the folder.
func makeFolder() (string, func() error, error) {
	old, err := filepath.Glob(filepath.Join(os.TempDir(), folderPrefix+"*"))
	if err != nil {
		return "", nil, err
	}
	for _, dir := range old {
		if lock, err := lockFolder(dir); err == nil {
			_ = os.RemoveAll(dir)
			_ = lock.Close()
		}
	}
	for {
		dir, err := os.MkdirTemp("", folderPrefix)
		if err != nil {
			return "", nil, err
		}
		lock, err := lockFolder(dir)
		if err != nil {
			continue // another demo took it for an old one before it was locked
		}
		if _, err := os.Stat(dir); err == nil {
			return dir, func() error { return errors.Join(os.RemoveAll(dir), lock.Close()) }, nil
		}
		_ = lock.Close() // likewise
	}
}

func lockFolder(dir string) (*os.File, error) {
	lock, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	return lock, nil
}

// prSetChildSubreaper is PR_SET_CHILD_SUBREAPER, which package syscall lacks.
const prSetChildSubreaper = 36

// adoptOrphans makes this process the parent of all its descendants that lose their own, so that none of them can hide.
func adoptOrphans() error {
	if _, _, errno := syscall.RawSyscall(syscall.SYS_PRCTL, prSetChildSubreaper, 1, 0); errno != 0 {
		return fmt.Errorf("become the parent of orphans: %w", errno)
	}
	return nil
}

// descendants returns the names of the live processes below this one, by their ids.
func descendants() (map[int]string, error) {
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil || len(stats) == 0 {
		return nil, errors.Join(errors.New("/proc is not readable"), err)
	}
	names, parents := map[int]string{}, map[int]int{}
	for _, stat := range stats {
		text, err := os.ReadFile(stat)
		if err != nil {
			continue // gone meanwhile
		}
		// "pid (name) state parent ...", where the name may hold anything.
		head, tail, _ := strings.Cut(string(text), "(")
		end := strings.LastIndexByte(tail, ')')
		if end < 0 {
			continue
		}
		fields := strings.Fields(tail[end+1:])
		pid, err1 := strconv.Atoi(strings.TrimSpace(head))
		parent, err2 := strconv.Atoi(fields[1])
		if err1 == nil && err2 == nil && fields[0] != "Z" {
			names[pid], parents[pid] = tail[:end], parent
		}
	}
	maps.DeleteFunc(names, func(pid int, _ string) bool {
		own := os.Getpid()
		for pid != 0 && pid != own {
			pid = parents[pid]
		}
		return pid != own
	})
	delete(names, os.Getpid())
	return names, nil
}

// serverFolders returns the folders of the servers that run: their working directories.
func serverFolders() ([]string, error) {
	running, err := descendants()
	if err != nil {
		return nil, err
	}
	own, err := os.Getwd()
	if err != nil {
		return nil, err
	}
	folders := map[string]bool{}
	for pid := range running {
		dir, err := os.Readlink(fmt.Sprintf("/proc/%d/cwd", pid))
		if err == nil && dir != own && strings.HasPrefix(filepath.Base(dir), serverPrefix) {
			folders[dir] = true
		}
	}
	return slices.Sorted(maps.Keys(folders)), nil
}
