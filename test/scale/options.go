// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"flag"
	"io"
	"time"
)

// options are what the flags say.
type options struct {
	policies, pods, burst int
	rest, scrape          time.Duration
	program, profiles     string
	dir                   string
}

func parseOptions(args []string, output io.Writer) (options, error) {
	var o options
	flags := flag.NewFlagSet("scale", flag.ContinueOnError)
	flags.SetOutput(output)
	flags.IntVar(&o.policies, "policies", 10_000, "how many policies there are")
	flags.IntVar(&o.pods, "pods", 50_000, "how many pods of others there are")
	flags.IntVar(&o.burst, "burst", 0, "how many Jobs end at once; default: a tenth of the policies")
	flags.DurationVar(&o.rest, "rest", 10*time.Minute, "how long nothing happens")
	flags.DurationVar(&o.scrape, "scrape", 30*time.Second, "how often the metrics are read meanwhile")
	flags.StringVar(&o.program, "program", "", "path of the backup-operator to measure; default: one that is built")
	flags.StringVar(&o.profiles, "profiles", "", "directory for the operator's logs and metrics, to look into afterwards")
	flags.StringVar(&o.dir, "dir", "", "where the temporary directory is made; default: the system's place for them")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if o.burst == 0 {
		o.burst = max(o.policies/10, 1)
	}
	if o.policies < 1 || o.pods < 0 || o.burst < 0 || o.burst > o.policies || o.rest < 0 || o.scrape <= 0 || flags.NArg() > 0 {
		return o, errors.New("-policies and -scrape must be positive, -pods and -rest not negative, -burst at most as many " +
			"as -policies; there are no other arguments")
	}
	return o, nil
}
