// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"os"
	"path/filepath"
)

// churnShare is the share of the files that one day changes.
const churnShare = 0.01

// churn lets a day pass. Of each hundred small files one changes: most are written anew in place, every tenth of those
// is deleted and another one is made. One log in a hundred, but at least one, grows by a hundredth. The recordings, which
// never change, become a hundredth more.
func (d *dataSet) churn(ctx context.Context) error {
	d.day++
	if err := d.churnSmall(ctx); err != nil {
		return err
	}
	count, scale := scaled(logs, d.size)
	for i := range share(count) {
		name := d.logs[(d.day+i)%len(d.logs)]
		if err := d.appendLog(ctx, name, int(logSize*scale*churnShare)); err != nil {
			return err
		}
	}
	count, scale = scaled(recordings, d.size*churnShare)
	for range count {
		if err := d.addRecording(ctx, scale); err != nil {
			return err
		}
	}
	return nil
}

func (d *dataSet) churnSmall(ctx context.Context) error {
	count, scale := scaled(smallFiles, d.size)
	c := d.content("the choice of files")
	probe := d.probe()
	for n := range share(count) {
		i := c.rand.IntN(len(d.small))
		if d.small[i] == probe {
			continue
		}
		if n%10 == 9 {
			if err := d.remove(d.small[i]); err != nil {
				return err
			}
			d.small[i] = smallName(count + d.day*share(count) + n)
		}
		if err := d.writeSmall(ctx, d.small[i], scale); err != nil {
			return err
		}
	}
	return nil
}

// share is how many of so many files change in a day.
func share(count int) int { return max(1, int(float64(count)*churnShare)) }

func (d *dataSet) remove(name string) error { return os.Remove(filepath.Join(d.root, name)) }
