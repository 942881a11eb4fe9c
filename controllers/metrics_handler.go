// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"bufio"
	"io"
	"math"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"github.com/go-logr/logr"
	"github.com/klauspost/compress/gzip"
	"github.com/prometheus/common/expfmt"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	backupv1alpha1 "appliance.io/backup-operator/api/v1alpha1"
)

const (
	// metricsPath is where controller-runtime's server serves metrics.
	metricsPath = "/metrics"
	// metricsContentType is the one format that is written: every Prometheus reads it.
	metricsContentType = "text/plain; version=0.0.4; charset=utf-8"
	// operatorInfo is the metric by whose absence Prometheus knows that no operator tells of the policies.
	operatorInfo     = "backup_operator_info"
	operatorInfoHelp = "The operator's version; always 1, once it knows all policies."
)

// FilterProvider is what metricsserver.Options takes as FilterProvider.
type FilterProvider = func(*rest.Config, *http.Client) (metricsserver.Filter, error)

// Behind puts the metrics in the place of those that controller-runtime serves by itself, behind the filter that
// inner provides. The latter's own are among them. What else the server serves stays as it is, behind the same filter.
//
// The server leaves its handler to no one, but hands it to the filter. Registering a collector instead would mean that
// each scrape first builds every sample of every policy in memory, several hundred bytes each.
func (m *Metrics) Behind(inner FilterProvider) FilterProvider {
	return func(config *rest.Config, httpClient *http.Client) (metricsserver.Filter, error) {
		filter, err := inner(config, httpClient)
		if err != nil {
			return nil, err
		}
		return func(log logr.Logger, handler http.Handler) (http.Handler, error) {
			mux := http.NewServeMux()
			mux.Handle("/", handler)
			mux.Handle(metricsPath, m)
			return filter(log, mux)
		}, nil
	}
}

// gzipWriters are reused, because each holds some hundred KiB.
var gzipWriters = sync.Pool{New: func() any {
	writer, err := gzip.NewWriterLevel(nil, gzip.BestSpeed)
	if err != nil {
		panic(err) // The level is a constant.
	}
	return writer
}}

// ServeHTTP answers with all metrics, or with 503 while the policies are still being read: half of them would look as if
// the others were gone.
func (m *Metrics) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	policies, complete := m.sorted()
	if !complete {
		http.Error(w, "the policies are still being read", http.StatusServiceUnavailable)
		return
	}
	own, err := metrics.Registry.Gather()
	if err != nil {
		http.Error(w, "the operator's own metrics: "+err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", metricsContentType)
	w.Header().Set("Vary", "Accept-Encoding")
	body := io.Writer(w)
	if strings.Contains(request.Header.Get("Accept-Encoding"), "gzip") {
		w.Header().Set("Content-Encoding", "gzip")
		compressed := gzipWriters.Get().(*gzip.Writer)
		defer gzipWriters.Put(compressed)
		compressed.Reset(w)
		// Whatever can't be written is the scraper's loss: it sees that the answer is cut short.
		defer func() { _ = compressed.Close() }()
		body = compressed
	}
	for _, family := range own {
		if _, err := expfmt.MetricFamilyToText(body, family); err != nil {
			return
		}
	}
	_ = writeFamilies(body, m.version, policies)
}

// WriteMetrics writes what the metrics of an operator of this version tell of these policies.
func WriteMetrics(out io.Writer, version string, policies ...*backupv1alpha1.BackupPolicy) error {
	measured := make([]*measuredPolicy, 0, len(policies))
	for _, policy := range policies {
		measured = append(measured, measure(policy))
	}
	return writeFamilies(out, version, measured)
}

// writeFamilies writes one family after the other.
func writeFamilies(to io.Writer, version string, policies []*measuredPolicy) error {
	out := bufio.NewWriterSize(to, 32<<10)
	line := appendHeader(nil, operatorInfo, operatorInfoHelp)
	line = append(line, operatorInfo...)
	line = append(appendLabel(append(line, '{'), "version", version), "} 1\n"...)
	if _, err := out.Write(line); err != nil {
		return err
	}
	var samples []sample
	for _, family := range MetricFamilies() {
		line = appendHeader(line[:0], family.Name, family.Help)
		for _, policy := range policies {
			samples = family.read(samples[:0], policy)
			for i := range samples {
				line = appendSample(line, &family, policy, &samples[i])
			}
			if _, err := out.Write(line); err != nil {
				return err
			}
			line = line[:0]
		}
	}
	return out.Flush()
}

func appendHeader(line []byte, name, help string) []byte {
	line = append(append(append(append(line, "# HELP "...), name...), ' '), help...)
	return append(append(append(line, "\n# TYPE "...), name...), " gauge\n"...)
}

func appendSample(line []byte, family *MetricFamily, policy *measuredPolicy, sample *sample) []byte {
	line = append(append(line, family.Name...), '{')
	line = append(appendLabel(line, "namespace", policy.Namespace), ',')
	line = appendLabel(line, "policy", policy.Name)
	for i, name := range family.Labels {
		line = appendLabel(append(line, ','), name, sample.labels[i])
	}
	line = append(line, "} "...)
	// Whole numbers are written as such, for people.
	if whole := int64(sample.value); float64(whole) == sample.value && math.Abs(sample.value) < 1<<53 {
		line = strconv.AppendInt(line, whole, 10)
	} else {
		line = strconv.AppendFloat(line, sample.value, 'g', -1, 64)
	}
	return append(line, '\n')
}

// appendLabel appends name="value", escaped as
// https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format says.
func appendLabel(line []byte, name, value string) []byte {
	line = append(append(line, name...), `="`...)
	for i := range len(value) {
		switch c := value[i]; c {
		case '\\', '"':
			line = append(line, '\\', c)
		case '\n':
			line = append(line, `\n`...)
		default:
			line = append(line, c)
		}
	}
	return append(line, '"')
}
