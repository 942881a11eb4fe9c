// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"
)

// writes counts requests that write, by verb and resource, such as "patch cronjobs", and by the code of those that failed,
// such as "create cronjobs 409".
type writes map[string]int

// add counts what others count too.
func (w writes) add(others writes) {
	for what, n := range others {
		w[what] += n
	}
}

// total is how many there are.
func (w writes) total() int {
	n := 0
	for _, count := range w {
		n += count
	}
	return n
}

func (w writes) String() string {
	if len(w) == 0 {
		return "none"
	}
	var all []string
	for _, what := range slices.Sorted(maps.Keys(w)) {
		all = append(all, fmt.Sprintf("%s %d", what, w[what]))
	}
	return strings.Join(all, ", ")
}

// questions are resources that are only called writes: creating one asks something and leaves nothing behind.
var questions = []string{"tokenreviews", "subjectaccessreviews"}

// auditLog is the API server's own account of what the operator writes.
type auditLog struct {
	path string
	// read is how far it was read.
	read int64
}

// next are the writes since the last call.
func (a *auditLog) next() (writes, error) {
	f, err := os.Open(a.path)
	if os.IsNotExist(err) {
		return writes{}, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || info.Size() < a.read {
		return nil, errors.Join(errors.New("audit log: it is shorter than it was"), err)
	}
	if _, err := f.Seek(a.read, io.SeekStart); err != nil {
		return nil, err
	}
	found := writes{}
	lines := bufio.NewReader(f)
	for {
		line, err := lines.ReadBytes('\n')
		if err == io.EOF { // What is half written is read the next time.
			return found, nil
		}
		if err != nil {
			return nil, err
		}
		a.read += int64(len(line))
		if err := found.addEvent(line); err != nil {
			return nil, err
		}
	}
}

func (w writes) addEvent(line []byte) error {
	var event struct {
		Verb      string `json:"verb"`
		ObjectRef struct {
			Resource    string `json:"resource"`
			Subresource string `json:"subresource"`
		} `json:"objectRef"`
		ResponseStatus struct {
			Code int `json:"code"`
		} `json:"responseStatus"`
	}
	if err := json.Unmarshal(bytes.TrimSpace(line), &event); err != nil {
		return fmt.Errorf("audit log: %w", err)
	}
	what := event.ObjectRef.Resource
	if slices.Contains(questions, what) {
		return nil
	}
	if event.ObjectRef.Subresource != "" {
		what += "/" + event.ObjectRef.Subresource
	}
	what = event.Verb + " " + what
	if code := event.ResponseStatus.Code; code >= http.StatusBadRequest {
		what += fmt.Sprintf(" %d", code)
	}
	w[what]++
	return nil
}

// until waits until so many requests of a kind have succeeded, and returns all writes until then.
func (a *auditLog) until(ctx context.Context, what string, n int) (writes, error) {
	all := writes{}
	err := poll(ctx, func() (bool, error) {
		found, err := a.next()
		all.add(found)
		return all[what] >= n, err
	})
	if err != nil {
		return all, fmt.Errorf("wait for %s %d times, of which there were %s: %w", what, n, all, err)
	}
	return all, nil
}

// untilQuiet waits until nothing was written for a while, and returns what was until then, and when the last of it was
// seen.
func (a *auditLog) untilQuiet(ctx context.Context) (writes, time.Time, error) {
	all, last := writes{}, time.Now()
	tick := time.NewTicker(quiet / 20)
	defer tick.Stop()
	for {
		found, err := a.next()
		if err != nil {
			return nil, last, err
		}
		all.add(found)
		switch {
		case len(found) > 0:
			last = time.Now()
		case time.Since(last) >= quiet:
			return all, last, nil
		}
		select {
		case <-ctx.Done():
			return nil, last, fmt.Errorf("the operator goes on writing (%s): %w", found, context.Cause(ctx))
		case <-tick.C:
		}
	}
}
