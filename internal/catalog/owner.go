// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package catalog

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// OwnedError means that a prefix in a directory belongs to another policy.
type OwnedError struct {
	// Directory and Prefix are what is owned.
	Directory, Prefix string
	// Owner is the policy that owns it, as namespace/name.
	Owner string
}

// Error says whose it is and what can be done.
func (e *OwnedError) Error() string {
	return fmt.Sprintf("the prefix %q in %s belongs to the policy %q: use another filename prefix or another directory; or, "+
		"if that policy is gone for good, delete the file %s to take over (its backups stay and are never removed)",
		e.Prefix, e.Directory, e.Owner, ownerPath(e.Directory, e.Prefix))
}

// owner is the content of an owner file.
type owner struct {
	Policy string `json:"policy"`
}

// CheckOwner returns an OwnedError if a prefix in a directory belongs to another policy than the given one. A
// directory that isn't there, or has no owner yet, is fine.
func CheckOwner(dir, prefix, policy string) error {
	_, err := readOwner(dir, prefix, policy)
	return err
}

// ClaimOwner makes the policy the owner of a prefix in a directory, or returns an OwnedError if another one is. It
// must be called under the lock.
func ClaimOwner(dir, prefix, policy string) error {
	owned, err := readOwner(dir, prefix, policy)
	if err != nil || owned {
		return err
	}
	content, err := json.Marshal(owner{Policy: policy})
	if err != nil {
		return err
	}
	return writeFile(ownerPath(dir, prefix), append(content, '\n'))
}

// readOwner reports whether the policy owns the prefix already.
func readOwner(dir, prefix, policy string) (bool, error) {
	path := ownerPath(dir, prefix)
	f, err := OpenRegular(path)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("read the owner of the prefix %q: %w", prefix, err)
	}
	defer f.Close()
	content, err := io.ReadAll(io.LimitReader(f, 64<<10))
	if err != nil {
		return false, fmt.Errorf("read the owner of the prefix %q: %w", prefix, err)
	}
	var o owner
	if err := json.Unmarshal(content, &o); err != nil || o.Policy == "" {
		return false, fmt.Errorf("the file %s should name the policy that owns the prefix, as {\"policy\":\"%s\"}, and "+
			"doesn't: delete it if no other policy uses the prefix here", path, policy)
	}
	if o.Policy != policy {
		return false, &OwnedError{Directory: dir, Prefix: prefix, Owner: o.Policy}
	}
	return true, nil
}

func ownerPath(dir, prefix string) string { return filepath.Join(dir, "."+prefix+".policy") }
