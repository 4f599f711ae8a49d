/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package servers

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// places is where the programs are, or would be.
type places struct {
	cache, assets, kubernetesServer, mongodbServer, ferretdb, postgres, feedServer string
}

// locate asks hack/testenv.sh, which alone decides where things are and of which version.
func locate() (places, error) {
	root, err := checkout()
	if err != nil {
		return places{}, err
	}
	out, err := exec.Command(filepath.Join(root, "hack", "testenv.sh"), "--print").Output()
	if err != nil {
		return places{}, fmt.Errorf("hack/testenv.sh --print: %w", err)
	}
	var p places
	fields := map[string]*string{
		"cache": &p.cache, "assets": &p.assets, "kubernetes-server": &p.kubernetesServer,
		"mongodb-server": &p.mongodbServer, "ferretdb": &p.ferretdb, "postgres": &p.postgres,
		"feed-server": &p.feedServer,
	}
	for line := range strings.Lines(string(out)) {
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "=")
		if field, ok := fields[name]; ok {
			*field = value
		}
	}
	for name, field := range fields {
		if !filepath.IsAbs(*field) {
			return places{}, fmt.Errorf("hack/testenv.sh --print: %q is no absolute path: %q", name, *field)
		}
	}
	return p, nil
}

// checkout returns the root of the checkout that the working directory is in. Tests run in their package's folder.
func checkout() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for ; ; dir = filepath.Dir(dir) {
		gomod, err := os.ReadFile(filepath.Join(dir, "go.mod"))
		if err == nil && bytes.Contains(gomod, []byte("module github.com/mongolock/operator\n")) {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", errors.New("not inside a checkout of mongolock: change into it")
		}
	}
}

// needs fails when one of the files is missing.
func needs(paths ...string) error {
	for _, path := range paths {
		if _, err := os.Stat(path); err != nil {
			return fmt.Errorf(`%s is missing on this machine: run "make testenv"`, filepath.Base(path))
		}
	}
	return nil
}
