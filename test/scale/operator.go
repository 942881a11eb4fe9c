// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"appliance.io/backup-operator/test/benchmark"
)

// operator is the operator in a process of its own.
type operator struct {
	cmd             *exec.Cmd
	log             *os.File
	health, metrics string
	token           string
	started         time.Time
	client          *http.Client
	// ended has how the process ended, once it has.
	ended chan error
}

// startOperator starts the program with the operator's credentials.
func startOperator(ctx context.Context, program, dir string, c *cluster) (*operator, error) {
	ports, err := freePorts(2)
	if err != nil {
		return nil, err
	}
	log, err := os.OpenFile(filepath.Join(dir, "operator.log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	o := &operator{
		log: log, health: ports[0], metrics: ports[1], token: c.scrapeToken,
		// The metrics have a certificate that the operator makes itself each time that it starts.
		client: &http.Client{Transport: &http.Transport{
			TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
		}},
	}
	// It outlives the step that starts it; whoever runs the steps stops it.
	o.cmd = exec.CommandContext(context.WithoutCancel(ctx), program, "operator",
		"--metrics-bind-address="+o.metrics, "--health-probe-bind-address="+o.health)
	o.cmd.Env = append(os.Environ(), "KUBECONFIG="+c.kubeconfig, "RUNNER_IMAGE=backup-operator:scale")
	o.cmd.Stdout, o.cmd.Stderr = log, log
	o.cmd.SysProcAttr = &unix.SysProcAttr{Pdeathsig: unix.SIGKILL}
	o.started = time.Now()
	if err := o.cmd.Start(); err != nil {
		return nil, errors.Join(err, log.Close())
	}
	o.ended = make(chan error, 1)
	go func() { o.ended <- o.cmd.Wait() }()
	return o, nil
}

// stop ends the process as the kubelet would.
func (o *operator) stop() error {
	err := o.cmd.Process.Signal(unix.SIGTERM)
	if err == nil {
		err = o.failed(<-o.ended)
	}
	return errors.Join(err, o.log.Close())
}

// failed is an error with the last that the operator said; nil for none.
func (o *operator) failed(err error) error {
	if err == nil {
		return nil
	}
	content, _ := os.ReadFile(o.log.Name())
	return fmt.Errorf("the operator failed: %w\n%s", err, content[max(len(content)-4096, 0):])
}

// untilReady waits until /readyz says so, and returns how long that took from the start.
func (o *operator) untilReady(ctx context.Context) (time.Duration, error) {
	var ready time.Duration
	err := poll(ctx, func() (bool, error) {
		body, err := o.get(ctx, "http://"+o.health+"/readyz")
		ready = time.Since(o.started)
		return err == nil && body == "ok", o.alive()
	})
	return ready, err
}

// alive returns an error when the process has ended by itself.
func (o *operator) alive() error {
	select {
	case err := <-o.ended:
		err = o.failed(cmp.Or(err, errors.New("it ended by itself")))
		o.ended <- err // For who stops it.
		return err
	default:
		return nil
	}
}

// scrape reads the metrics and returns how many bytes they are.
func (o *operator) scrape(ctx context.Context) (string, error) {
	return o.get(ctx, "https://"+o.metrics+"/metrics")
}

// value is the sum of the metrics whose line begins so.
func (o *operator) value(ctx context.Context, prefix string) (float64, error) {
	body, err := o.scrape(ctx)
	if err != nil {
		return 0, err
	}
	sum := 0.0
	for line := range strings.Lines(body) {
		if strings.HasPrefix(line, prefix) {
			fields := strings.Fields(line)
			value, err := strconv.ParseFloat(fields[len(fields)-1], 64)
			if err != nil {
				return 0, fmt.Errorf("metric %s: %w", line, err)
			}
			sum += value
		}
	}
	return sum, nil
}

func (o *operator) get(ctx context.Context, url string) (string, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	request.Header.Set("Authorization", "Bearer "+o.token)
	response, err := o.client.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s: %s", url, response.Status, body)
	}
	return string(body), err
}

// memory is what of the process is in memory, and the most that ever was, in MiB.
func (o *operator) memory() (now, peak float64, err error) {
	file := fmt.Sprintf("/proc/%d/status", o.cmd.Process.Pid)
	rss, err := benchmark.Bytes(file, "VmRSS")
	if err != nil {
		return 0, 0, err
	}
	hwm, err := benchmark.Bytes(file, "VmHWM")
	const mib = 1 << 20
	return float64(rss) / mib, float64(hwm) / mib, err
}

func freePorts(n int) ([]string, error) {
	var all []string
	for range n {
		listener, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer listener.Close()
		all = append(all, listener.Addr().String())
	}
	return all, nil
}

// poll asks ten times a second until the answer is yes.
func poll(ctx context.Context, yes func() (bool, error)) error {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		if ok, err := yes(); ok || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
	}
}
