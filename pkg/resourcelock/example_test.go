/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package resourcelock_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"time"

	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"k8s.io/client-go/tools/leaderelection"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/mongolock/operator/hack/servers/servertest"
	"github.com/mongolock/operator/pkg/mongolock"
	"github.com/mongolock/operator/pkg/resourcelock"
)

// A controller-runtime manager that elects its leader in MongoDB.
func ExampleConfigureManager() {
	ctx := ctrl.SetupSignalHandler()
	client, err := mongolock.Connect(ctx, os.Getenv("MONGODB_URI"))
	if err != nil {
		log.Fatal(err)
	}
	opts := ctrl.Options{}
	lock, err := resourcelock.ConfigureManager(&opts, client, resourcelock.Config{Namespace: "payments", Name: "controller"})
	if err != nil {
		log.Fatal(err)
	}
	mgr, err := ctrl.NewManager(ctrl.GetConfigOrDie(), opts)
	if err != nil {
		log.Fatal(err)
	}
	if err := lock.Run(ctx, mgr); err != nil { // like mgr.Start, and ends at once when leadership is lost
		log.Fatal(err)
	}
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	_ = client.Close(closing) // those who wait to lead are told that they can
}

// client-go's elector without a manager, and without Kubernetes.
func ExampleNew() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	uri, database, drop := exampleDatabase()
	defer drop()

	client, err := mongolock.Connect(ctx, uri, mongolock.WithDatabase(database))
	if err != nil {
		log.Fatal(err)
	}
	lock, err := resourcelock.New(client, resourcelock.Config{
		Namespace: "payments", Name: "settlement", Identity: "worker-1", LeaseDuration: 15 * time.Second,
	})
	if err != nil {
		log.Fatal(err)
	}
	leaderelection.RunOrDie(ctx, leaderelection.LeaderElectionConfig{
		Lock: lock, LeaseDuration: 15 * time.Second, RenewDeadline: 10 * time.Second, RetryPeriod: 2 * time.Second,
		ReleaseOnCancel: true,
		Callbacks: leaderelection.LeaderCallbacks{
			OnStartedLeading: func(context.Context) {
				_, leading := lock.Token()
				fmt.Println("leading:", leading)
				cancel()
			},
			OnStoppedLeading: func() { fmt.Println("stopped") },
		},
	})
	_, leading := lock.Token()
	fmt.Println("leading:", leading)
	if err := client.Close(context.WithoutCancel(ctx)); err != nil {
		log.Fatal(err)
	}
	// Output:
	// leading: true
	// stopped
	// leading: false
}

// exampleDatabase is a database of the tests' server, and a function that removes it.
func exampleDatabase() (uri, name string, drop func()) {
	uri, name = servertest.MongoDBURI(), "mongolock_resourcelock_example"
	return uri, name, func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		client, err := mongo.Connect(options.Client().ApplyURI(uri))
		if err != nil {
			log.Fatal(err)
		}
		if err := client.Database(name).Drop(ctx); err != nil {
			log.Print(err)
		}
		if err := client.Disconnect(ctx); err != nil {
			log.Print(err)
		}
	}
}
