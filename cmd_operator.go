// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"os"
	goruntime "runtime"
	"time"

	// Time zones of schedules are looked up without the image's help.
	_ "time/tzdata"

	"github.com/go-logr/logr"
	"github.com/spf13/cobra"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/klog/v2"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/config"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
	"sigs.k8s.io/controller-runtime/pkg/metrics/filters"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	backupv1alpha1 "appliance.io/backup-operator/api/v1alpha1"
	"appliance.io/backup-operator/controllers"
	"appliance.io/backup-operator/controllers/watches"
)

// leaderElectionID names the lease that says which replica works.
const leaderElectionID = "backup-operator.backup.appliance.io"

// maxLeaseDuration is the longest time that may pass before another replica takes over.
const maxLeaseDuration = time.Hour

// runnerImageVariable is the environment variable from which --runner-image has its default.
const runnerImageVariable = "RUNNER_IMAGE"

// operatorFlags are the flags of the command as they are given.
type operatorFlags struct {
	options                      controllers.Options
	leaderElect                  bool
	leaseNamespace               string
	leaseDuration                time.Duration
	metricsAddress, probeAddress string
	watchNamespaces              []string
	logLevel                     slog.Level
}

func newOperatorCommand() *cobra.Command {
	f := &operatorFlags{}
	cmd := &cobra.Command{
		Use:   "operator",
		Short: "Keep a CronJob for each BackupPolicy of the cluster",
		Long: `Keep a CronJob for each BackupPolicy of the cluster, and the policy's status as its runs turn out.

Backups don't need the operator: while it is down, the CronJobs go on, and its status catches up when it is back.`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error { return f.run(cmd.Context()) },
	}
	flags := cmd.Flags()
	flags.StringVar(&f.options.RunnerImage, "runner-image", os.Getenv(runnerImageVariable),
		"image of the backups' pods: the operator's own (default $"+runnerImageVariable+")")
	flags.BoolVar(&f.options.AllowHostPath, "allow-host-path", false,
		"let policies name hostPath volumes, and so read and write any directory of the nodes")
	flags.DurationVar(&f.options.StartGrace, "start-grace", controllers.DefaultStartGrace,
		"how long a run may take to start before the policy's condition Delayed tells of it")
	flags.BoolVar(&f.leaderElect, "leader-elect", false, "elect one working replica among several")
	flags.StringVar(&f.leaseNamespace, "leader-elect-namespace", "",
		"namespace of the Lease that says which replica works (default the operator's own, in a cluster)")
	flags.DurationVar(&f.leaseDuration, "leader-elect-lease-duration", 30*time.Second,
		"how long after a working replica was last heard of another one takes over; two thirds of this is how long the "+
			"API server may be away before a working replica ends")
	flags.StringVar(&f.metricsAddress, "metrics-bind-address", "0",
		"address of the metrics, served over HTTPS to who may get /metrics; 0 serves none")
	flags.StringVar(&f.probeAddress, "health-probe-bind-address", ":8081", "address of /healthz and /readyz")
	flags.StringSliceVar(&f.watchNamespaces, "watch-namespaces", nil,
		"namespaces to look after, separated by commas (default all)")
	flags.TextVar(&f.logLevel, "log-level", slog.LevelInfo, "least level that is logged: debug, info, warn or error")
	return cmd
}

func (f *operatorFlags) run(ctx context.Context) error {
	if err := f.check(); err != nil {
		return &usageError{command: "backup-operator operator", err: err}
	}
	log := logr.FromSlogHandler(slog.NewJSONHandler(os.Stderr, &slog.HandlerOptions{Level: f.logLevel}))
	ctrl.SetLogger(log)
	klog.SetLogger(log)

	defer goruntime.KeepAlive(thrift(slog.New(logr.ToSlogHandler(log))))
	policyMetrics := controllers.NewMetrics(programVersion())
	health := watches.New(clock.RealClock{})
	metrics.Registry.MustRegister(health)
	manager, err := f.newManager(policyMetrics, health)
	if err != nil {
		return fmt.Errorf("set up the operator: %w", err)
	}
	if err := policyMetrics.Watch(ctx, manager.GetCache()); err != nil {
		return fmt.Errorf("set up the metrics: %w", err)
	}
	mirrors, err := controllers.NewMirrors(manager.GetConfig(), health, f.watchNamespaces...)
	if err != nil {
		return fmt.Errorf("set up the operator: %w", err)
	}
	reconciler := &controllers.BackupPolicyReconciler{
		Client:    manager.GetClient(),
		APIReader: manager.GetAPIReader(),
		Mirrors:   mirrors,
		Clock:     clock.RealClock{},
		Options:   f.options,
	}
	if err := reconciler.SetupWithManager(ctx, manager); err != nil {
		return fmt.Errorf("set up the controller: %w", err)
	}
	filled, err := reconciler.Filled(ctx, manager.GetCache())
	if err != nil {
		return fmt.Errorf("set up the controller: %w", err)
	}
	err = errors.Join(manager.AddReadyzCheck("caches", filled), manager.AddReadyzCheck("watches", health.Check))
	if err != nil {
		return fmt.Errorf("set up the operator: %w", err)
	}
	return manager.Start(ctx)
}

// check says what is wrong with the flags.
func (f *operatorFlags) check() error {
	if f.options.RunnerImage == "" {
		return errors.New("there is no image for the backups' pods: set --runner-image or $" + runnerImageVariable)
	}
	if f.options.StartGrace <= 0 {
		return fmt.Errorf("--start-grace %s: runs need some time to start, such as %s",
			f.options.StartGrace, controllers.DefaultStartGrace)
	}
	if f.leaseDuration < time.Second || f.leaseDuration > maxLeaseDuration {
		return fmt.Errorf("--leader-elect-lease-duration %s: must be from 1s to %s", f.leaseDuration, maxLeaseDuration)
	}
	return nil
}

func (f *operatorFlags) newManager(policyMetrics *controllers.Metrics, health *watches.Health) (ctrl.Manager, error) {
	scheme := runtime.NewScheme()
	// Only what the operator speaks of: all that Kubernetes has takes megabytes.
	known := runtime.SchemeBuilder{
		backupv1alpha1.AddToScheme, batchv1.AddToScheme, corev1.AddToScheme,
	}
	if err := known.AddToScheme(scheme); err != nil {
		return nil, err
	}
	restConfig, err := ctrl.GetConfig()
	if err != nil {
		return nil, err
	}
	warmup := true
	manager, err := ctrl.NewManager(restConfig, ctrl.Options{
		Scheme: scheme,
		Cache: cache.Options{
			ByObject: controllers.CacheObjects(), DefaultNamespaces: f.namespaces(),
			// Reading what is not cached is a mistake that would otherwise have all of it cached.
			ReaderFailOnMissingInformer: true,
			NewInformer:                 health.NewInformer,
		},
		// A standby replica has its caches filled before it is elected.
		Controller:              config.Controller{EnableWarmup: &warmup},
		HealthProbeBindAddress:  f.probeAddress,
		Metrics:                 f.metrics(policyMetrics),
		LeaderElection:          f.leaderElect,
		LeaderElectionID:        leaderElectionID,
		LeaderElectionNamespace: f.leaseNamespace,
		// In the proportions of Kubernetes' own components, 15 s, 10 s and 2 s.
		LeaseDuration: &f.leaseDuration,
		RenewDeadline: ptr.To(f.leaseDuration * 2 / 3),
		RetryPeriod:   ptr.To(f.leaseDuration * 2 / 15),
		// Safe because the program ends when the manager does.
		LeaderElectionReleaseOnCancel: true,
	})
	if err != nil {
		return nil, err
	}
	return manager, manager.AddHealthzCheck("ping", healthz.Ping)
}

func (f *operatorFlags) namespaces() map[string]cache.Config {
	if len(f.watchNamespaces) == 0 {
		return nil
	}
	namespaces := make(map[string]cache.Config, len(f.watchNamespaces))
	for _, namespace := range f.watchNamespaces {
		namespaces[namespace] = cache.Config{}
	}
	return namespaces
}

// metrics are served behind authentication and authorization. HTTP/2 is off for the sake of
// https://github.com/advisories/GHSA-qppj-fm5r-hxr3 and its like: nothing needs it.
func (f *operatorFlags) metrics(policyMetrics *controllers.Metrics) metricsserver.Options {
	return metricsserver.Options{
		BindAddress:    f.metricsAddress,
		SecureServing:  true,
		FilterProvider: policyMetrics.Behind(filters.WithAuthenticationAndAuthorization),
		TLSOpts:        []func(*tls.Config){func(c *tls.Config) { c.NextProtos = []string{"http/1.1"} }},
	}
}
