/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

// Command envtest starts etcd and kube-apiserver, RBAC on, on free loopback ports, prints the path of an
// administrator's kubeconfig and serves until its standard input ends. Package supervise says how it lives and dies.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/go-logr/logr/funcr"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/mongolock/operator/hack/supervise"
)

const (
	folderPrefix = "mongolock-kubernetes"

	// startTimeout is for each of the two, on a machine that may be busy.
	startTimeout = 50 * time.Second
	stopTimeout  = 10 * time.Second

	// assetsVariable and parentVariable are in the environment of this program when it runs in the place of a server.
	assetsVariable = "MONGOLOCK_ENVTEST_ASSETS"
	parentVariable = "MONGOLOCK_ENVTEST_PARENT"
)

func main() {
	if os.Getenv(parentVariable) != "" {
		fmt.Fprintln(os.Stderr, becomeServer())
		os.Exit(1)
	}
	assets := flag.String("assets", "", "folder with kube-apiserver and etcd")
	flag.Parse()
	os.Exit(supervise.Run(os.TempDir(), folderPrefix, func(_ context.Context, s *supervise.Session) (string, error) {
		return start(s, *assets)
	}))
}

// start takes no context: envtest cannot be interrupted. It is done within seconds.
func start(s *supervise.Session, assets string) (string, error) {
	// envtest starts its servers without asking that they die with this program. So it starts this program by their
	// names, which asks and then becomes the server.
	program, err := os.Executable()
	if err != nil {
		return "", err
	}
	apiServer, etcd := filepath.Join(s.Dir, "kube-apiserver"), filepath.Join(s.Dir, "etcd")
	environment := map[string]string{
		assetsVariable: assets,
		parentVariable: strconv.Itoa(os.Getpid()),
		"TMPDIR":       s.Dir, // data and certificates
	}
	err = errors.Join(os.Symlink(program, apiServer), os.Symlink(program, etcd))
	for name, value := range environment {
		err = errors.Join(err, os.Setenv(name, value))
	}
	if err != nil {
		return "", err
	}

	log.SetLogger(funcr.New(func(_, args string) { fmt.Fprintln(s.Log, args) }, funcr.Options{}))
	existing := false
	servers := &envtest.Environment{
		UseExistingCluster:       &existing,
		ControlPlaneStartTimeout: startTimeout,
		ControlPlaneStopTimeout:  stopTimeout,
		ControlPlane: envtest.ControlPlane{
			APIServer: &envtest.APIServer{Path: apiServer, Out: s.Log, Err: s.Log},
			Etcd:      &envtest.Etcd{Path: etcd, Out: s.Log, Err: s.Log},
		},
	}
	s.OnStop(func() {
		if err := servers.Stop(); err != nil {
			fmt.Fprintf(os.Stderr, "%s: stop: %v\n", folderPrefix, err)
		}
	})
	if _, err := servers.Start(); err != nil {
		return "", err
	}
	kubeconfig := filepath.Join(s.Dir, "kubeconfig")
	return kubeconfig, os.WriteFile(kubeconfig, servers.KubeConfig, 0o600)
}

// becomeServer turns this process into the server by whose name it was started. It returns only on failure.
func becomeServer() error {
	parent, err := strconv.Atoi(os.Getenv(parentVariable))
	if err != nil {
		return err
	}
	return supervise.ExecBound(filepath.Join(os.Getenv(assetsVariable), filepath.Base(os.Args[0])), parent)
}
