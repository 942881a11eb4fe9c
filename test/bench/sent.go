// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"appliance.io/backup-operator/internal/rsync"
)

// transfer is a synchronization of the newest archive to a server that holds the one before.
type transfer struct {
	ArchiveBytes int64   `json:"archiveBytes"`
	SentBytes    int64   `json:"sentBytes"` // that crossed, in both directions
	Seconds      float64 `json:"seconds"`
}

// measureSent synchronizes the two newest archives to a server, one after the other, and keeps what the second cost.
func (r *round) measureSent(ctx context.Context, c *contestant, s step) (err error) {
	all, err := archives(c.volume.root, ".tar.zst")
	if err != nil {
		return err
	}
	if len(all) < 2 {
		return fmt.Errorf("%d archives, and two are needed", len(all))
	}
	server, err := startServer(ctx, r.dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.remove()) }()
	var t transfer
	for _, archive := range all[len(all)-2:] {
		if t, err = server.receive(ctx, archive); err != nil {
			return err
		}
	}
	k := key{r.filesystem, c.short, s}
	r.results.sent[k] = append(r.results.sent[k], t)
	return nil
}

// receive is sent an archive as a run of backup-operator sends it, which makes the server look among what it has.
func (s *server) receive(ctx context.Context, archive string) (transfer, error) {
	info, err := os.Stat(archive)
	if err != nil {
		return transfer{}, err
	}
	client, err := rsync.Find(ctx)
	if err != nil {
		return transfer{}, err
	}
	begin := time.Now()
	result, err := client.Run(ctx, rsync.Options{
		Source: filepath.Dir(archive), Files: []string{filepath.Base(archive)}, Server: s.address(),
	}, rsync.Hooks{})
	if err != nil {
		return transfer{}, err
	}
	t := transfer{ArchiveBytes: info.Size(), SentBytes: result.BytesCrossed, Seconds: time.Since(begin).Seconds()}
	return t, s.same(archive)
}
