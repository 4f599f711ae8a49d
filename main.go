/*
Copyright 2026 The mongolock Authors.

Licensed under the Apache License, Version 2.0; see LICENSE.
SPDX-License-Identifier: Apache-2.0
*/

// The operator of mongolock: it mirrors locks held in MongoDB into the status of DistributedLocks, and elects its own leader in MongoDB.
package main

import (
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/go-logr/logr"
	"go.uber.org/zap/zapcore"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client/config"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
	"sigs.k8s.io/controller-runtime/pkg/metrics/filters"
	"sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/mongolock/operator/api/v1alpha1"
	"github.com/mongolock/operator/controllers"
	"github.com/mongolock/operator/pkg/mongolock"
	"github.com/mongolock/operator/pkg/mongolock/connection"
	"github.com/mongolock/operator/pkg/resourcelock"
)

const (
	// clusterTimeout bounds the question which cluster this is, and suffixLength is the length of the answer.
	clusterTimeout = 10 * time.Second
	suffixLength   = 8
	// apiQPS and apiBurst bound the requests to the API server, which the client library does not: when many locks change hands at
	// once, statuses come a little later.
	apiQPS, apiBurst = 150, 300
)

// settings are the operator's flags, most of them in the form in which they are used.
type settings struct {
	uriFile, database, collection string
	manager                       ctrl.Options
	controller                    controllers.Options
	elect                         bool
	election                      resourcelock.Config
	http2                         bool
	apiQPS                        float64
	apiBurst                      int
	zap                           zap.Options
}

func main() {
	s, err := parse(os.Args[1:], os.LookupEnv)
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(2)
	}
	log := zap.New(zap.UseFlagOptions(&s.zap))
	ctrl.SetLogger(log)
	if err := run(ctrl.SetupSignalHandler(), s, log.WithName("setup")); err != nil {
		log.Error(err, "The operator ends")
		os.Exit(1)
	}
}

// parse reads the flags. Each has an environment variable as its default: MONGOLOCK_LEADER_ELECT is that of --leader-elect, and
// MONGODB_DATABASE that of --mongodb-database.
func parse(args []string, environment func(string) (string, bool)) (*settings, error) {
	s := &settings{zap: zap.Options{StacktraceLevel: zapcore.PanicLevel}} // an error is one line, also while the store is gone
	f := flag.NewFlagSet("manager", flag.ContinueOnError)
	f.StringVar(&s.uriFile, "mongodb-uri-file", "", "File with the MongoDB connection string; it wins over the environment variable "+
		"MONGODB_URI. Without either, the operator runs and says in the objects what is missing. When the string in the file changes, it goes on with the new one.")
	f.StringVar(&s.database, "mongodb-database", mongolock.DefaultDatabase, "Database that holds the locks.")
	f.StringVar(&s.collection, "mongodb-collection", mongolock.DefaultCollection, "Collection that holds the locks.")
	f.StringVar(&s.manager.Metrics.BindAddress, "metrics-bind-address", ":8443", "Address of the metrics endpoint; 0 switches it off.")
	f.BoolVar(&s.manager.Metrics.SecureServing, "metrics-secure", true, "Serve metrics over HTTPS, to those whom the API server lets read them.")
	f.StringVar(&s.manager.Metrics.CertDir, "metrics-cert-path", "", "Folder with the certificate of the metrics endpoint and its key, which are read again when "+
		"they change; by default one is made at the start that nobody has signed.")
	f.StringVar(&s.manager.Metrics.CertName, "metrics-cert-name", "tls.crt", "File of that certificate.")
	f.StringVar(&s.manager.Metrics.KeyName, "metrics-cert-key", "tls.key", "File of that key.")
	f.BoolVar(&s.http2, "enable-http2", false, "Serve metrics over HTTP/2 too.")
	f.StringVar(&s.manager.HealthProbeBindAddress, "health-probe-bind-address", ":8081", "Address of /healthz and /readyz; 0 switches them off.")
	f.BoolVar(&s.elect, "leader-elect", true, "Elect a leader in MongoDB, so that several replicas can run.")
	namespace := "mongolock-system"
	if own, ok := environment("POD_NAMESPACE"); ok && own != "" {
		namespace = own
	}
	f.StringVar(&s.election.Namespace, "leader-election-namespace", namespace,
		"First part of the id of the lock that the leader holds; by default POD_NAMESPACE.")
	f.StringVar(&s.election.Name, "leader-election-id", "", "Second part of that id; by default operator-<first 8 characters of the uid of "+
		"the namespace kube-system>, so that operators of several clusters can share a database.")
	s.manager.LeaseDuration = f.Duration("leader-election-lease-duration", resourcelock.DefaultLeaseDuration, "How long leadership outlives a dead leader.")
	s.manager.RenewDeadline = f.Duration("leader-election-renew-deadline", resourcelock.DefaultRenewDeadline, "How long a leader tries to renew before it gives up.")
	s.manager.RetryPeriod = f.Duration("leader-election-retry-period", resourcelock.DefaultRetryPeriod, "Time between two tries to lead, or to renew.")
	f.BoolVar(&s.controller.AllowForeignIDs, "allow-foreign-ids", false, "Let objects mirror locks whose id does not begin with their own namespace. "+
		"Whoever can make an object in any namespace can then see every lock, set its policy and evict its holders.")
	f.StringVar(&s.controller.MirrorUndeclared, "mirror-undeclared", "", "Namespace in which each lock that exists in MongoDB and that no object "+
		"declares gets a read-only object. Whoever can read that namespace can then see every lock. Empty switches it off.")
	f.Float64Var(&s.apiQPS, "kube-api-qps", apiQPS, "Requests to the API server per second, at most. One transition of a lock takes one for the "+
		"status and up to one for the event.")
	f.IntVar(&s.apiBurst, "kube-api-burst", apiBurst, "Requests to the API server at once, after a pause.")
	s.zap.BindFlags(f)
	config.RegisterFlags(f)

	var invalid error
	f.VisitAll(func(fl *flag.Flag) {
		name := strings.ToUpper(strings.ReplaceAll(fl.Name, "-", "_"))
		if !strings.HasPrefix(name, "MONGODB_") {
			name = "MONGOLOCK_" + name
		}
		if value, ok := environment(name); ok {
			if fl.Value.Set(value) != nil { // whose error may quote the value
				invalid = errors.Join(invalid, fmt.Errorf("environment variable %s: the value cannot be used, see --help", name))
			}
		}
	})
	if invalid != nil {
		return nil, invalid
	}
	f.SetOutput(io.Discard)
	switch err := f.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		f.SetOutput(os.Stderr)
		f.Usage()
		return nil, err
	case err != nil:
		return nil, flagError(f, args[:len(args)-f.NArg()], err)
	}
	if err := s.validate(f.NArg()); err != nil {
		return nil, err
	}
	return s, nil
}

// flagName is what can be quoted of a flag that there is not.
var flagName = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)

// flagError says which flag is wrong, the last of those that were read. It quotes nothing else, unlike package flag: a connection string
// may have got there. The package does not count an argument as read that is bad syntax.
func flagError(f *flag.FlagSet, read []string, err error) error {
	noFlag := errors.New("an argument that begins with a dash is no flag, see --help")
	if strings.HasPrefix(err.Error(), "bad flag syntax") {
		return noFlag
	}
	var name string
	for i := 0; i < len(read); i++ {
		var hasValue bool
		name, _, hasValue = strings.Cut(strings.TrimLeft(read[i], "-"), "=")
		if fl := f.Lookup(name); fl != nil && !hasValue && !isBool(fl) {
			i++ // the next argument is its value
		}
	}
	switch {
	case f.Lookup(name) != nil:
		return fmt.Errorf("--%s: the value is missing or cannot be used, see --help", name)
	case !flagName.MatchString(name):
		return noFlag
	}
	return fmt.Errorf("flag provided but not defined: -%s, see --help", name)
}

func isBool(fl *flag.Flag) bool {
	b, ok := fl.Value.(interface{ IsBoolFlag() bool })
	return ok && b.IsBoolFlag()
}

// validate refuses what cannot work. It quotes nothing: people do put a connection string into the wrong place.
func (s *settings) validate(arguments int) error {
	switch {
	case arguments > 0:
		return fmt.Errorf("unexpected arguments (%d): all settings are flags, see --help", arguments)
	case strings.Contains(s.uriFile, "://"):
		return errors.New("--mongodb-uri-file takes the name of a file that has the connection string in it, not the string itself; " +
			"to pass the string use the environment variable MONGODB_URI")
	case s.database == "" || len(s.database) > 63 || strings.ContainsAny(s.database, "/\\. \"$*<>:|?\x00") || !utf8.ValidString(s.database):
		return errors.New("--mongodb-database must have 1 to 63 bytes of UTF-8 and none of the characters /\\. \"$*<>:|?")
	case s.collection == "" || len(s.database)+1+len(s.collection) > 255 || strings.ContainsAny(s.collection, "$\x00") ||
		strings.HasPrefix(s.collection, "system.") || !utf8.ValidString(s.collection):
		return errors.New("--mongodb-collection must have at least 1 byte of UTF-8, with the database's name and a dot at most 255, no $, and not begin with \"system.\"")
	}
	return s.validateKubernetes()
}

func (s *settings) validateKubernetes() error {
	switch {
	case s.controller.MirrorUndeclared != "" && len(validation.IsDNS1123Label(s.controller.MirrorUndeclared)) > 0:
		return errors.New("--mirror-undeclared must be the name of a namespace")
	case s.apiQPS <= 0 || s.apiBurst < 1:
		return errors.New("--kube-api-qps must be more than 0, and --kube-api-burst at least 1")
	case !s.elect:
		return nil
	}
	if err := resourcelock.CheckTimings(*s.manager.LeaseDuration, *s.manager.RenewDeadline, *s.manager.RetryPeriod); err != nil {
		return fmt.Errorf("--leader-election-lease-duration, --leader-election-renew-deadline, --leader-election-retry-period: %w", err)
	}
	return nil
}

// run runs the operator until ctx ends or something fails. Without a usable connection string it runs all the same, and shows that in
// the objects: they are where people look, and a crash loop would hide the reason in a log. When the string changes, because the Secret
// has come or its password was replaced, one manager follows another in this process.
func run(ctx context.Context, s *settings, log logr.Logger) error {
	source := &connection.Source{File: s.uriFile, URI: os.Getenv("MONGODB_URI"), Connect: s.connect, Log: log}
	client, err := source.Open(ctx)
	if err != nil {
		log.Info("No usable MongoDB connection string; waiting for one", "reason", err.Error())
	}
	s.controller.WithoutStore = func() string {
		if errors.Is(source.Err(), mongolock.ErrUnreachable) { // DNS does not know the name in it
			return v1alpha1.ReasonStoreUnreachable
		}
		return v1alpha1.ReasonStoreNotConfigured
	}
	for {
		next, err := s.runManager(ctx, client, source, log)
		if err != nil {
			return err // leadership may be lost and something still at work: end at once
		}
		source.Close(ctx, client)
		client = next
		if client == nil || ctx.Err() != nil {
			source.Close(ctx, client)
			return nil
		}
		log.Info("There is a new MongoDB connection string; going on with it")
	}
}

// connect makes a client. The server is not asked yet; whatever it says later shows in the objects.
func (s *settings) connect(ctx context.Context, uri string) (*mongolock.Client, error) {
	return mongolock.Connect(ctx, uri, mongolock.WithDatabase(s.database), mongolock.WithCollection(s.collection),
		mongolock.WithLogger(ctrl.Log.WithName("mongolock")), mongolock.WithDeferredCheck())
}

// runManager runs one manager until ctx ends, or until the source has another client, which it returns. By then everything that used the
// present one has stopped, and leadership has been given up.
func (s *settings) runManager(ctx context.Context, client *mongolock.Client, source *connection.Source, log logr.Logger) (*mongolock.Client, error) {
	running, stop := context.WithCancel(ctx)
	defer stop()
	start, err := s.newManager(running, client, log)
	if err != nil {
		return nil, err
	}
	found := make(chan *mongolock.Client, 1)
	go func() { // ends with running
		found <- source.Next(running, client)
		stop()
	}()
	if err := start(running); err != nil {
		return nil, err
	}
	stop()
	return <-found, nil
}

// newManager sets up everything that runs, and returns what runs it. Without a client there is no leader election, and every replica
// says what is missing.
func (s *settings) newManager(ctx context.Context, client *mongolock.Client, log logr.Logger) (start func(context.Context) error, err error) {
	restConfig, err := ctrl.GetConfig()
	if err != nil {
		return nil, fmt.Errorf("find the Kubernetes API server: %w", err)
	}
	restConfig.QPS, restConfig.Burst = float32(s.apiQPS), s.apiBurst
	opts := s.manager
	opts.Cache.DefaultTransform = cache.TransformStripManagedFields()
	if opts.Metrics.SecureServing {
		opts.Metrics.FilterProvider = filters.WithAuthenticationAndAuthorization
	}
	if err := checkCertificate(&opts.Metrics); err != nil {
		return nil, err
	}
	if !s.http2 {
		opts.Metrics.TLSOpts = append(opts.Metrics.TLSOpts, func(c *tls.Config) { c.NextProtos = []string{"http/1.1"} })
	}
	opts.Scheme = runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(opts.Scheme), v1alpha1.AddToScheme(opts.Scheme)); err != nil {
		return nil, err
	}
	opts.Controller.SkipNameValidation = ptr.To(true) // there was a manager before, with a controller of the same name
	controller := s.controller
	if client != nil {
		controller.Store = controllers.NewStore(client)
	}
	if s.elect {
		controller.StandbyDelay = *opts.LeaseDuration // also without a client: another replica may have one, and lead
	}
	var lock *resourcelock.Lock
	if client != nil && s.elect {
		if lock, err = s.newLock(ctx, &opts, client, restConfig); err != nil {
			return nil, fmt.Errorf("set up the leader election: %w", err)
		}
		log.Info("Leader election", "lock", lock.Describe(), "identity", lock.Identity())
		controller.ElectionID = lock.Describe()
	}
	mgr, err := ctrl.NewManager(restConfig, opts)
	if err != nil {
		return nil, fmt.Errorf("set up the manager: %w", err)
	}
	start = mgr.Start
	if lock != nil {
		start = func(ctx context.Context) error { return lock.Run(ctx, mgr) }
		err = mgr.AddHealthzCheck("leadership", lock.Healthz) // should the process outlive its leadership for whatever reason
	}
	// Liveness does not ask for MongoDB: a restart would not bring it back.
	if err := errors.Join(err, controllers.Setup(ctx, mgr, controller), mgr.AddHealthzCheck("ping", healthz.Ping)); err != nil {
		return nil, fmt.Errorf("set up the controller: %w", err)
	}
	return start, nil
}

// checkCertificate makes sure that there is a certificate where one is promised: the manager would make another without a word. The error
// does not repeat where that is.
func checkCertificate(m *server.Options) error {
	if m.CertDir == "" || !m.SecureServing {
		return nil
	}
	_, err := tls.LoadX509KeyPair(filepath.Join(m.CertDir, m.CertName), filepath.Join(m.CertDir, m.KeyName))
	var failure *fs.PathError
	if errors.As(err, &failure) {
		err = failure.Err
	}
	if err != nil {
		return fmt.Errorf("the certificate of --metrics-cert-path, --metrics-cert-name and --metrics-cert-key cannot be used: %w", err)
	}
	return nil
}

// newLock makes the lock that the leader holds, and has the manager elect with it.
func (s *settings) newLock(ctx context.Context, opts *ctrl.Options, client *mongolock.Client, restConfig *rest.Config) (*resourcelock.Lock, error) {
	if s.election.Name == "" { // asked once: the next manager need not
		suffix, err := clusterSuffix(ctx, restConfig)
		if err != nil {
			return nil, err
		}
		s.election.Name = "operator-" + suffix
	}
	return resourcelock.ConfigureManager(opts, client, s.election)
}

// +kubebuilder:rbac:groups="",resources=namespaces,resourceNames=kube-system,verbs=get

// clusterSuffix tells this cluster from others that keep their locks in the same database: a leader shared with them would leave the
// objects of all clusters but its own empty. There is no id of a cluster, but kube-system is never made anew.
func clusterSuffix(ctx context.Context, restConfig *rest.Config) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, clusterTimeout)
	defer cancel()
	api, err := corev1client.NewForConfig(restConfig)
	if err != nil {
		return "", fmt.Errorf("make a client of the API server: %w", err)
	}
	namespace, err := api.Namespaces().Get(ctx, metav1.NamespaceSystem, metav1.GetOptions{})
	if err != nil {
		return "", fmt.Errorf("the default of --leader-election-id needs the uid of the namespace %s, which cannot be read; allow that "+
			"or set the flag: %w", metav1.NamespaceSystem, err)
	}
	if len(namespace.UID) < suffixLength {
		return "", fmt.Errorf("the uid %q of the namespace %s is shorter than %d characters; set --leader-election-id", namespace.UID,
			metav1.NamespaceSystem, suffixLength)
	}
	return string(namespace.UID[:suffixLength]), nil
}
