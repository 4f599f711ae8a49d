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
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/mongolock/operator/hack/servers"
)

// stores are where the elections keep their records.
type stores struct {
	mongoDB, feed, kubernetes      *servers.Server
	mongoURI, mongoHost            string
	feedURI, feedHost              string
	kubeconfig, kubeHost, database string
	product                        string // of the MongoDB
	overPostgreSQL                 bool
}

func startStores(ctx context.Context) (*stores, error) {
	s := &stores{database: fmt.Sprintf("failover_%d", time.Now().UnixNano())}
	var err error
	if s.mongoDB, err = servers.StartMongoDB(ctx); err != nil {
		return nil, err
	}
	if s.feed, err = servers.StartFeed(ctx); err != nil {
		return nil, errors.Join(err, s.close())
	}
	if s.kubernetes, err = servers.StartKubernetes(ctx); err != nil {
		return nil, errors.Join(err, s.close())
	}
	s.mongoURI, s.feedURI, s.kubeconfig = s.mongoDB.Address(), s.feed.Address(), s.kubernetes.Address()
	config, err := clientcmd.BuildConfigFromFlags("", s.kubeconfig)
	if err == nil {
		s.kubeHost, err = hostOf(config.Host)
	}
	if err == nil {
		s.mongoHost, err = hostOf(s.mongoURI)
	}
	if err == nil {
		s.feedHost, err = hostOf(s.feedURI)
	}
	if err == nil {
		err = s.identify(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

// identify asks the MongoDB what it is.
func (s *stores) identify(ctx context.Context) error {
	client, err := mongo.Connect(options.Client().ApplyURI(s.mongoURI))
	if err != nil {
		return err
	}
	var info struct {
		Version  string
		FerretDB struct{ Version string } `bson:"ferretdb"`
	}
	err = client.Database("admin").RunCommand(ctx, bson.D{{Key: "buildInfo", Value: 1}}).Decode(&info)
	s.product = "MongoDB " + info.Version
	if info.FerretDB.Version != "" {
		s.product, s.overPostgreSQL = "FerretDB "+info.FerretDB.Version+" over PostgreSQL", true
	}
	return errors.Join(err, client.Disconnect(ctx))
}

// outages tells what an outage is to each kind of lock.
func (s *stores) outages() map[string]string {
	mongoDB := "mongod is killed with -9 and started again; meanwhile the link accepts connections and ends them at once"
	if s.overPostgreSQL {
		mongoDB = "PostgreSQL is killed with -9 and started again; FerretDB before it stays, accepts connections and answers commands with errors"
	}
	return map[string]string{
		"lease": "kube-apiserver and etcd stay; all connections of the candidates end, and new ones are refused until MongoDB is back",
		"mongo": mongoDB,
		"feed":  "its store stays; all connections of the candidates end, and new ones are refused until MongoDB is back",
	}
}

func (s *stores) close() error {
	var errs []error
	for _, server := range []*servers.Server{s.kubernetes, s.feed, s.mongoDB} {
		if server != nil {
			errs = append(errs, server.Stop())
		}
	}
	return errors.Join(errs...)
}
