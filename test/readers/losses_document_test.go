// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package readers

import (
	"os"
	"strings"
	"testing"
)

// TestTheDocumentTellsWhatIsLost holds the table in the document against the losses that the readers are tested with.
func TestTheDocumentTellsWhatIsLost(t *testing.T) {
	text, err := os.ReadFile(document)
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string]string{
		"GNU tar":                 "| **GNU tar**",
		"GNU tar in UTF-8":        "| **GNU tar**",
		"GNU tar without options": "| the same without `--xattrs-include='*'`",
		"bsdtar":                  "| **bsdtar**",
		"busybox":                 "| **busybox**",
		"busybox and expand.sh":   "| the same, and `sh expand.sh",
		"Python":                  "| **Python**",
	}
	for name, reader := range readers {
		_, row, found := strings.Cut(string(text), rows[name])
		if !found || rows[name] == "" {
			t.Errorf("the document has no row for %s", name)
			continue
		}
		row, _, _ = strings.Cut(row, "\n")
		lost := strings.Split(strings.Trim(row[strings.LastIndex(row, "| ")+2:], "| "), "; ")
		if len(reader.losses) != len(lost) && len(reader.losses) > 0 || len(reader.losses) == 0 && lost[0] != "nothing" {
			t.Errorf("%s loses %d things, and the document says %q", name, len(reader.losses), lost)
		}
		for i, loss := range reader.losses {
			if i < len(lost) && !strings.HasPrefix(lost[i], loss.what) {
				t.Errorf("%s loses %s, and the document says %q", name, loss.what, lost[i])
			}
		}
	}
	for file, language := range map[string]string{"extract.py": "python", "expand.sh": "sh"} {
		script, err := os.ReadFile("testdata/" + file)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(text), "```"+language+"\n"+string(script)+"```\n") {
			t.Errorf("the document doesn't have %s as it is tested", file)
		}
	}
}
