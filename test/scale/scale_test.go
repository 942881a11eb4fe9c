// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestScale measures little and holds the operator to what doesn't depend on the machine: it does what there is to do once,
// and nothing when there is nothing to do.
func TestScale(t *testing.T) {
	if os.Getenv("KUBEBUILDER_ASSETS") == "" {
		t.Fatal("KUBEBUILDER_ASSETS is not set: run the tests by make test")
	}
	o := options{policies: 50, pods: 60, burst: 10, rest: 2 * time.Second, scrape: time.Second, dir: t.TempDir()}
	r, err := measure(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if n := r.atRest.total() + r.afterRestart.total(); n != 0 {
		t.Errorf("written with nothing to do: at rest %s, after a restart %s", r.atRest, r.afterRestart)
	}
	for _, what := range []string{"create cronjobs", "patch cronjobs", "create events", "patch backuppolicies/status"} {
		if n := r.firstWrites[what]; n != o.policies {
			t.Errorf("%s %d times for %d new policies: %s", what, n, o.policies, r.firstWrites)
		}
	}
	if told := r.burstWrites["patch backuppolicies/status"]; told < o.burst {
		t.Errorf("%d ends of runs took %d writes of statuses: %s", o.burst, told, r.burstWrites)
	}
	if r.memory <= 0 || r.peak < r.memory || r.bare.time <= 0 || r.bare.processor <= 0 {
		t.Errorf("not measured: %+v", r)
	}
	var table bytes.Buffer
	printTables(&table, o, r)
	if !strings.Contains(table.String(), "| writes at rest | 0 | 0 | reached |") {
		t.Errorf("the table:\n%s", &table)
	}
}

func TestOptions(t *testing.T) {
	o, err := parseOptions([]string{"-policies", "50"}, io.Discard)
	if err != nil || o.burst != 5 {
		t.Errorf("burst %d, %v", o.burst, err)
	}
	for _, args := range []string{"-policies 0", "-pods -1", "-burst 6 -policies 5", "-scrape 0s", "more"} {
		if _, err := parseOptions(strings.Fields(args), io.Discard); err == nil {
			t.Errorf("%s: taken", args)
		}
	}
}

func TestAuditLog(t *testing.T) {
	log := &auditLog{path: filepath.Join(t.TempDir(), "audit.log")}
	if found, err := log.next(); err != nil || found.total() != 0 {
		t.Errorf("of no file: %s, %v", found, err)
	}
	write := func(text string) {
		f, err := os.OpenFile(log.path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if _, err := f.WriteString(text); err != nil {
			t.Fatal(err)
		}
	}
	write(`{"verb":"patch","objectRef":{"resource":"backuppolicies","subresource":"status"}}
{"verb":"create","objectRef":{"resource":"tokenreviews"}}
{"verb":"create","objectRef":{"resour`)
	if found, err := log.next(); err != nil || found.String() != "patch backuppolicies/status 1" {
		t.Errorf("%s, %v", found, err)
	}
	write("ce\":\"events\"}}\n" + `{"verb":"create","objectRef":{"resource":"events"},"responseStatus":{"code":409}}` + "\n")
	if found, err := log.next(); err != nil || found.String() != "create events 1, create events 409 1" {
		t.Errorf("%s, %v", found, err)
	}
	write(`{"verb":"create","objectRef":{"resource":"events"},"responseStatus":{"code":201}}` + "\n")
	if found, err := log.until(t.Context(), "create events", 1); err != nil || found.total() != 1 {
		t.Errorf("%s, %v", found, err)
	}
	if err := os.Truncate(log.path, 10); err != nil {
		t.Fatal(err)
	}
	if _, err := log.next(); err == nil {
		t.Error("a log that became shorter is taken for one that tells of no writes")
	}
}
