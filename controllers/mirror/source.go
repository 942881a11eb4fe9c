// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package mirror

import (
	"context"
	"errors"
	"fmt"
)

// changes is the source of a controller.
type changes[R any] struct {
	mirror *Mirror[R]
	handle func(context.Context, Change[R], Queue)
}

// Start implements source.Source. What changed before it was called concerns nobody: the controller begins to work when
// the objects are known, and then with everything.
func (c *changes[R]) Start(ctx context.Context, queue Queue) error {
	changed := func(change Change[R]) { c.handle(ctx, change, queue) }
	if !c.mirror.changed.CompareAndSwap(nil, &changed) {
		return fmt.Errorf("the mirror of %s has a controller already", c.mirror.name)
	}
	return nil
}

// WaitForSync implements source.SyncingSource.
func (c *changes[R]) WaitForSync(ctx context.Context) error {
	for namespace, s := range c.mirror.stores {
		select {
		case <-s.synced:
		case <-ctx.Done():
			return errors.Join(c.mirror.unsynced(namespace, s), ctx.Err())
		}
	}
	return nil
}

// String is how controller-runtime names the source in its messages.
func (c *changes[R]) String() string { return "mirror of " + c.mirror.name }
