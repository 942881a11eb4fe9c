// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

// Command scale measures the operator with thousands of policies on a real etcd and kube-apiserver.
//
//	go run ./test/scale [-policies 10000] [-pods 50000] [-rest 10m] [-burst 1000] [-profiles DIRECTORY]
//
// The operator is the real binary in a process of its own, with a service account that has the rights of its own role
// and nothing more. What it writes is counted by the API server's audit log, what it takes of memory by the kernel. A bare
// loop that creates the same CronJobs with the same credentials, client settings and number of workers shows what the
// machine gives at best.
//
// docs/scale.md says what is measured and how. Everything is in a temporary directory, which is removed at the end.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"

	"github.com/go-logr/logr"
	"golang.org/x/sys/unix"
	ctrl "sigs.k8s.io/controller-runtime"

	"appliance.io/backup-operator/test/benchmark"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGINT, unix.SIGTERM)
	defer stop()
	o, err := parseOptions(os.Args[1:], os.Stderr)
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err == nil {
		err = run(ctx, o, os.Stdout)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "scale:", err)
		stop()
		os.Exit(1)
	}
}

// run measures everything and prints it.
func run(ctx context.Context, o options, w io.Writer) error {
	benchmark.WarnIfBusy("scale")
	results, err := measure(ctx, o)
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "%d policies, %d foreign pods. %d cores (%s), which the API server, etcd and the operator share.\n\n",
		o.policies, o.pods, runtime.NumCPU(), benchmark.Processor())
	printTables(w, o, results)
	return nil
}

// measure does all that is measured, in a temporary directory.
func measure(ctx context.Context, o options) (r *results, err error) {
	ctrl.SetLogger(logr.Discard())
	dir, err := os.MkdirTemp(o.dir, "backup-operator-scale-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	logf("working in %s, which is removed at the end", dir)
	program := o.program
	if program == "" {
		if program, err = benchmark.BuildProgram(ctx, dir); err != nil {
			return nil, err
		}
	}
	cluster, err := startCluster(ctx, dir)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, cluster.stop()) }()
	b := &bench{options: o, cluster: cluster, program: program, dir: dir}
	return b.run(ctx)
}

func logf(format string, args ...any) { fmt.Fprintf(os.Stderr, "scale: "+format+"\n", args...) }
