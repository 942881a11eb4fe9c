// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"bytes"
	"testing"

	"appliance.io/backup-operator/internal/treetest"
)

// TestVerifyComparesTheListOfChecksums: one that is empty, cut, changed or another archive's can't check what was restored.
func TestVerifyComparesTheListOfChecksums(t *testing.T) {
	w := write(t, Options{}, Source{Name: "data", Path: built(t, corpus())})
	other := write(t, Options{}, Source{Name: "data", Path: built(t, treetest.Dir{Entries: smallFiles(10)})})
	changed := bytes.Clone(w.checksums)
	changed[len(changed)/2] ^= 1
	content := contentOf(t, w)
	for name, c := range map[string]struct {
		list []byte
		good bool
	}{
		"its own":       {w.checksums, true},
		"empty":         {[]byte{}, false},
		"cut":           {w.checksums[:len(w.checksums)-1], false},
		"half":          {w.checksums[:len(w.checksums)/2], false},
		"changed":       {changed, false},
		"with more":     {append(bytes.Clone(w.checksums), "more\n"...), false},
		"of another":    {other.checksums, false},
		"of both":       {append(bytes.Clone(w.checksums), other.checksums...), false},
		"the wrong way": {bytes.ToUpper(w.checksums), false},
	} {
		v, err := Verify(t.Context(), bytes.NewReader(content), int64(len(content)), VerifyOptions{Checksums: bytes.NewReader(c.list)})
		if err != nil || v.Problems > 0 || (v.List == "") != c.good {
			t.Errorf("%s: %+v, %v", name, v, err)
		}
	}
}

// TestVerifyTellsWhatIsLeft of an archive whose account of itself is damaged: which of its frames can be read.
func TestVerifyTellsWhatIsLeft(t *testing.T) {
	w := write(t, Options{}, Source{Name: "data", Path: built(t, treetest.Dir{Entries: smallFiles(300)})})
	content := contentOf(t, w)
	a, err := Open(bytes.NewReader(content), int64(len(content)))
	if err != nil {
		t.Fatal(err)
	}
	for name, offset := range map[string]int64{
		"header": 20, "index": a.blocks[0].Offset + 40, "directory": a.directory.Offset + 30,
		"summary": a.summary.Offset + 30, "tail": a.summary.Offset + a.summary.Length - 1,
	} {
		damaged := bytes.Clone(content)
		damaged[offset] ^= 1
		v, err := verify(t, damaged)
		if err != nil || v.Problems == 0 || name != "index" && v.Files != 300 {
			t.Errorf("%s: %+v, %v\n%s", name, v.Verification, err, v.text())
		}
	}
	truncated := content[:a.blocks[0].Data+a.blocks[0].Stored/2]
	if v, err := verify(t, truncated); err != nil || v.Problems < 2 || v.Files == 0 || v.Files == 300 {
		t.Errorf("truncated: %+v, %v\n%s", v.Verification, err, v.text())
	}
}
