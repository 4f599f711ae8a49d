/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package supervise

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// makeLocked makes a folder and locks it for the life of the returned file, that is, of this process: a folder that
// nobody has locked belongs to a run that is dead.
func makeLocked(parent, prefix string) (string, *os.File, error) {
	for {
		dir, err := os.MkdirTemp(parent, prefix+"-")
		if err != nil {
			return "", nil, err
		}
		lock, err := os.Open(dir)
		if errors.Is(err, os.ErrNotExist) {
			continue // another run took it for stale before it was locked
		}
		if err != nil {
			return "", nil, err
		}
		if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
			return "", nil, errors.Join(err, lock.Close())
		}
		if _, err := os.Stat(dir); err == nil {
			return dir, lock, nil
		}
		_ = lock.Close() // likewise, while it waited for the lock
	}
}

// removeStale removes the folders of runs that were killed. What it may not open belongs to another user.
func removeStale(parent, prefix string) {
	dirs, _ := filepath.Glob(filepath.Join(parent, prefix+"-*")) // the pattern is well-formed
	for _, dir := range dirs {
		lock, err := os.Open(dir)
		if err != nil {
			continue
		}
		if syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil {
			_ = removeAll(dir)
		}
		_ = lock.Close()
	}
}

// removeAll removes a folder into which a process that was just killed may still be writing.
func removeAll(dir string) error {
	var err error
	for range 50 {
		if err = os.RemoveAll(dir); err == nil {
			return nil
		}
		time.Sleep(20 * time.Millisecond)
	}
	return err
}
