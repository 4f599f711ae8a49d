/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

const (
	// caFile has the certificate of the authority that signed the server's, for clients.
	caFile = "ca.pem"
	// serverFile has the server's certificate and, after it, its key.
	serverFile = "server.pem"
	// certificateLife is longer than any run.
	certificateLife = 24 * time.Hour
)

// makeCertificates writes caFile and serverFile into dir. The authority lives as long as this call: its key is not kept.
func makeCertificates(dir string) error {
	authority := certificate("mongolock test authority", 1)
	authority.IsCA, authority.BasicConstraintsValid, authority.KeyUsage = true, true, x509.KeyUsageCertSign
	authorityKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	server := certificate("127.0.0.1", 2)
	server.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1)}
	server.KeyUsage = x509.KeyUsageDigitalSignature
	// A member of a replica set is a client of the others, and mongod looks at that when it starts.
	server.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	serverKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	key, err := x509.MarshalPKCS8PrivateKey(serverKey)
	if err != nil {
		return err
	}

	authorityDER, err := x509.CreateCertificate(rand.Reader, authority, authority, authorityKey.Public(), authorityKey)
	if err != nil {
		return err
	}
	serverDER, err := x509.CreateCertificate(rand.Reader, server, authority, serverKey.Public(), authorityKey)
	if err != nil {
		return err
	}
	var ca, pair bytes.Buffer
	return errors.Join(
		pem.Encode(&ca, &pem.Block{Type: "CERTIFICATE", Bytes: authorityDER}),
		pem.Encode(&pair, &pem.Block{Type: "CERTIFICATE", Bytes: serverDER}),
		pem.Encode(&pair, &pem.Block{Type: "PRIVATE KEY", Bytes: key}),
		os.WriteFile(filepath.Join(dir, caFile), ca.Bytes(), 0o600),
		os.WriteFile(filepath.Join(dir, serverFile), pair.Bytes(), 0o600),
	)
}

func certificate(name string, serial int64) *x509.Certificate {
	now := time.Now()
	return &x509.Certificate{
		Subject:      pkix.Name{CommonName: name},
		SerialNumber: big.NewInt(serial),
		NotBefore:    now.Add(-time.Hour),
		NotAfter:     now.Add(certificateLife),
	}
}
