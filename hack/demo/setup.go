//go:build linux

/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/mongolock/operator/api/v1alpha1"
	"github.com/mongolock/operator/hack/manager"
	"github.com/mongolock/operator/hack/servers"
	"github.com/mongolock/operator/hack/task"
	"github.com/mongolock/operator/pkg/mongolock"
)

// setUp starts everything, in the order in which one would by hand.
func (d *demo) setUp(ctx context.Context) error {
	if err := adoptOrphans(); err != nil {
		return err
	}
	for _, step := range []func(context.Context) error{
		d.makeFolder, d.startServers, d.connect, d.installObjects, d.startViews, d.startOperators, d.startWorkers,
	} {
		if err := step(ctx); err != nil {
			return err
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
	return nil
}

func (d *demo) onStop(stop func() error) { d.stops = append(d.stops, stop) }

func (d *demo) makeFolder(context.Context) error {
	dir, remove, err := makeFolder()
	if err != nil {
		return fmt.Errorf("make a folder: %w", err)
	}
	d.onStop(remove)
	d.dir, d.binary, d.folders = dir, filepath.Join(dir, "manager"), []string{dir}
	return nil
}

// startServers starts MongoDB and Kubernetes and builds the operator, all at the same time.
func (d *demo) startServers(ctx context.Context) error {
	// Another operator in an existing cluster would write to the same objects.
	if err := os.Unsetenv("USE_EXISTING_CLUSTER"); err != nil {
		return err
	}
	d.screen.say("Starting MongoDB and Kubernetes and building the operator (the first time that takes 2 to 4 minutes).")
	var mongodb, kubernetes *servers.Server
	var errs [3]error
	var steps sync.WaitGroup
	steps.Go(func() { mongodb, errs[0] = servers.StartMongoDB(ctx); d.done("MongoDB runs", errs[0]) })
	steps.Go(func() { kubernetes, errs[1] = servers.StartKubernetes(ctx); d.done("Kubernetes runs", errs[1]) })
	steps.Go(func() { errs[2] = manager.Build(ctx, d.binary, d.screen.say); d.done("The operator is built", errs[2]) })
	steps.Wait()
	for _, server := range []*servers.Server{mongodb, kubernetes} {
		if server != nil {
			d.onStop(server.Stop)
		}
	}
	folders, err := serverFolders()
	d.folders = append(d.folders, folders...)
	if err := errors.Join(append(errs[:], err)...); err != nil {
		return err
	}
	path, err := servers.Kubectl()
	if err != nil {
		return err
	}
	d.uri = mongodb.Address()
	d.kubectl = &kubectl{path: path, kubeconfig: kubernetes.Address(), cache: filepath.Join(d.dir, "kubectl")}
	return nil
}

func (d *demo) done(what string, err error) {
	if err == nil {
		d.screen.say("%s.", what)
	}
}

// connect makes a database of this run, which is dropped in the end, and begins to observe it.
func (d *demo) connect(ctx context.Context) error {
	driver, err := mongo.Connect(options.Client().ApplyURI(d.uri))
	if err != nil {
		return errors.New("the connection string of MongoDB cannot be used: check MONGODB_URI")
	}
	d.database = "mongolock_demo_" + strings.TrimPrefix(filepath.Base(d.dir), folderPrefix)
	d.onStop(func() error {
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
		defer cancel()
		return errors.Join(driver.Database(d.database).Drop(closing), driver.Disconnect(closing))
	})
	client, err := mongolock.New(ctx, driver.Database(d.database))
	if err != nil {
		return err
	}
	d.observer = newObserver(client)
	stop := task.Start(ctx, d.observer.run)
	d.onStop(func() error {
		stop()
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
		defer cancel()
		return client.Close(closing)
	})
	return nil
}

// installObjects installs the CRD, and makes a DistributedLock for each lock.
func (d *demo) installObjects(ctx context.Context) error {
	if err := manager.InstallCRDs(ctx, d.kubectl.run); err != nil {
		return err
	}
	objects := []any{corev1.Namespace{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Namespace"},
		ObjectMeta: metav1.ObjectMeta{Name: namespace},
	}}
	locks := append([]string{leaderLock}, workerLocks...)
	for _, lock := range locks {
		objects = append(objects, map[string]any{
			"apiVersion": v1alpha1.GroupVersion.String(), "kind": "DistributedLock",
			"metadata": map[string]any{"namespace": namespace, "name": strings.TrimPrefix(lock, namespace+"/")},
		})
	}
	if err := d.kubectl.apply(ctx, objects...); err != nil {
		return err
	}
	d.screen.say("The CRD is installed, with a DistributedLock for each of %s.", strings.Join(locks, ", "))
	return nil
}

// startViews shows what a user would watch.
func (d *demo) startViews(ctx context.Context) error {
	d.screen.say("In front of lines: dlock is kubectl get dlock -n %s -w; event is kubectl get events -n %s -w", namespace, namespace)
	d.onStop(d.kubectl.watch(ctx, func(line string) { d.screen.line("dlock", line) }, "dlock", "--namespace="+namespace))
	d.onStop(d.kubectl.watch(ctx, func(line string) { d.screen.line("event", shorten(line)) }, "events", "--namespace="+namespace,
		"--no-headers", "-o", "custom-columns=LOCK:.involvedObject.name,REASON:.reason,MESSAGE:.message"))
	return nil
}
