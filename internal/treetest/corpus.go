// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package treetest

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"time"
)

// Corpus is a number of trees that whoever copies trees must bring across, by what is special about them. What takes
// root is in them only for root.
func Corpus() map[string]Dir {
	return map[string]Dir{
		"everything":       Everything(),
		"empty":            {Meta: Meta{Mode: 0o2750, ModTime: time.Unix(1_500_000_000, 1)}},
		"one file":         {Entries: Entries{"f": File{Content: "one"}}},
		"small files":      smallFiles(),
		"big files":        bigFiles(),
		"many directories": manyDirectories(),
		"deep":             deep(),
		"long names":       longNames(),
	}
}

// Everything is a tree with all the kinds of files that there are.
func Everything() Dir {
	at := func(sec, nsec int64) Meta { return Meta{ModTime: time.Unix(sec, nsec)} }
	tree := Dir{Meta: Meta{Mode: 0o751, ModTime: time.Unix(1_500_000_000, 987_654_321)}, Entries: Entries{
		"empty directory": Dir{},
		"empty file":      File{},
		"small":           File{Content: "hello\n", Meta: at(1_600_000_000, 123_456_789)},
		"compressible":    File{Content: strings.Repeat("all work and no play\n", 200_000)},
		"random":          File{Content: Random(5<<20+123, 1)},
		"exactly a chunk": File{Content: Random(1<<20, 2)},
		"almost small":    File{Content: Random(512<<10+1, 3)},
		"still small":     File{Content: Random(512<<10, 4)},
		"half-tenths":     File{Meta: at(1_600_000_000, 500_000_000)},
		"before 1970":     File{Meta: at(-2, 250_000_000)},
		"after 2242":      File{Meta: at(1<<33+7, 1)},
		"whole seconds":   File{Meta: at(1_234_567_890, 0)},
		"modes": Dir{Meta: Meta{Mode: 0o3775}, Entries: Entries{
			"setuid": File{Meta: Meta{Mode: 0o4755}}, "setgid": File{Meta: Meta{Mode: 0o2755}},
			"none": File{Meta: Meta{Mode: 0o400}}, "sticky": Dir{Meta: Meta{Mode: 0o1777}},
		}},
		"links":  links(),
		"fifo":   FIFO{},
		"socket": Socket{},
		"names":  oddNames(),
		"sparse": sparseFiles(),
		"xattrs": Dir{Meta: Meta{Xattrs: map[string]string{"user.dir": "directory"}}, Entries: Entries{
			"text":   File{Meta: Meta{Xattrs: map[string]string{"user.b": "2", "user.a": "1", "user.empty": ""}}},
			"binary": File{Meta: Meta{Xattrs: map[string]string{"user.bin": "\x00\x01\n=\xff", "user.long": Random(3000, 10)}}},
			"names":  File{Meta: Meta{Xattrs: map[string]string{"user.a=b": "1", "user.100%": "2", "user.ü": "3"}}},
		}},
		"acls": Dir{Meta: Meta{ACL: "u:1234:rwx,d:u:1234:rw,d:g:77:r"}, Entries: Entries{
			"file": File{Meta: Meta{Mode: 0o640, ACL: "u:1234:rw,u:99999:r,g:77:---"}},
		}},
	}}
	if os.Geteuid() == 0 {
		tree.Entries["root's"] = roots()
	}
	return tree
}

// links are hard links and symbolic ones, in a directory that must be called so.
func links() Dir {
	return Dir{Entries: Entries{
		"first":      File{Content: "one file, three names"},
		"second":     HardLink{To: "links/first"},
		"sub":        Dir{Entries: Entries{"third": HardLink{To: "links/first"}}},
		"big":        File{Content: Random(2<<20, 5)},
		"bigger":     HardLink{To: "links/big"},
		"relative":   Symlink{Target: "../small", Meta: Meta{ModTime: time.Unix(1_400_000_000, 5)}},
		"dangling":   Symlink{Target: "/nowhere/at all"},
		"long":       Symlink{Target: strings.Repeat("../", 300) + "x"},
		"no utf-8":   Symlink{Target: "t\xffarget"},
		"s link":     HardLink{To: "links/relative"},
		"of a pipe":  HardLink{To: "fifo"},
		"no utf-8 2": Symlink{Target: strings.Repeat("\xfe/", 80)},
	}}
}

// oddNames are names that programs stumble over, in a directory that must be called names.
func oddNames() Dir {
	long := strings.Repeat("n", 255)
	return Dir{Entries: Entries{
		long:                        File{Content: "long"},
		long[1:]:                    Dir{Entries: Entries{long: Dir{Entries: Entries{long: File{Content: "longer"}}}}},
		"\xff\xfe not utf-8":        File{Content: "bytes"},
		strings.Repeat("\xe4", 200): File{Content: "long bytes"},
		strings.Repeat("ü", 120):    File{Content: "long UTF-8"},
		strings.Repeat("d", 110):    Dir{},
		"new\nline":                 File{},
		"tab\tquote\"back\\slash":   File{},
		"-rf":                       File{},
		" spaces ":                  File{},
		"größe=日本":                  File{},
		"PaxHeaders":                Dir{Entries: Entries{"x": File{Content: "x"}}},
		long[2:]:                    File{Content: "long first name"},
		"z" + long[3:]:              HardLink{To: "names/" + long[2:]},
		"sparse" + long[:200]:       Sparse{Size: 1 << 20, Data: map[int64]string{4096: "x"}},
		"sparse\xff" + long[:100]:   Sparse{Size: 1 << 20, Data: map[int64]string{4096: "x"}},
		strings.Repeat("p", 50):     Dir{Entries: Entries{strings.Repeat("q", 90): File{Content: "prefix"}}},
	}}
}

func sparseFiles() Dir {
	return Dir{Entries: Entries{
		"all hole":   Sparse{Size: 3 << 20},
		"data first": Sparse{Size: 1 << 20, Data: map[int64]string{0: Random(5000, 6)}},
		"data last":  Sparse{Size: 1<<20 + 100, Data: map[int64]string{1 << 20: Random(100, 7)}},
		"middle": Sparse{Size: 9<<20 + 1, Data: map[int64]string{
			1 << 20: Random(1<<20+1, 8), 5 << 20: "five", 7<<20 + 4095: "seven"}},
		"over 8 GiB": Sparse{Size: 9 << 30, Data: map[int64]string{0: "first", 8<<30 + 4096: Random(3<<20, 9)}},
		"many holes": ManyHoles(300),
		"no hole":    HardLink{To: "sparse/middle"},
	}}
}

// roots is what only root can make.
func roots() Dir {
	return Dir{Meta: Meta{UID: 1000, GID: 1001}, Entries: Entries{
		"owned":       File{Meta: Meta{UID: 1234, GID: 5678, Mode: 0o6711}},
		"big ids":     File{Meta: Meta{UID: 3_000_000_000, GID: 2_097_152}},
		"owned link":  Symlink{Target: "x", Meta: Meta{UID: 7, GID: 8}},
		"null":        Device{Major: 1, Minor: 3, Meta: Meta{Mode: 0o666}},
		"block":       Device{Block: true, Major: 259, Minor: 1 << 19},
		"secret":      File{Content: "s", Meta: Meta{UID: 42}},
		"acl on pipe": FIFO{Meta: Meta{ACL: "u:1:rw"}},
		// A capability to bind to low ports, as setcap(8) gives it, and what only root sees.
		"attributes": File{Meta: Meta{Mode: 0o755, Xattrs: map[string]string{
			"security.capability": "\x01\x00\x00\x02\x00\x04" + strings.Repeat("\x00", 14), "trusted.x": "y",
		}}},
	}}
}

// smallFiles are many more than go into one frame of an archive, and links from the last directory to the first.
func smallFiles() Dir {
	tree := Dir{Entries: Entries{}}
	for d := range 25 {
		dir := Dir{Entries: Entries{}}
		for f := range 30 {
			seed := uint64(d*30 + f)
			// Every second file is text.
			content := Random(int(seed*7919%20000), seed)
			if f%2 == 0 {
				content = strings.Repeat(fmt.Sprintf("line %d of a log\n", seed), int(seed%900))
			}
			at := Meta{ModTime: time.Unix(1_700_000_000, int64(seed))}
			dir.Entries[fmt.Sprintf("file-%02d", f)] = File{Content: content, Meta: at}
		}
		tree.Entries[fmt.Sprintf("directory-%02d", d)] = dir
	}
	tree.Entries["z"] = Dir{Entries: Entries{
		"a": HardLink{To: "directory-00/file-01"}, "b": HardLink{To: "directory-24/file-29"},
	}}
	return tree
}

// bigFiles have sizes at the borders of blocks, of chunks and of what is stored in chunks at all.
func bigFiles() Dir {
	tree := Dir{Entries: Entries{}}
	for i, size := range []int{
		511, 512, 513, 128<<10 - 512, 512<<10 - 1, 512 << 10, 512<<10 + 1, 1<<20 - 1, 1 << 20, 1<<20 + 1, 3<<20 + 511,
	} {
		tree.Entries[fmt.Sprintf("random of %d bytes", size)] = File{Content: Random(size, uint64(i))}
		tree.Entries[fmt.Sprintf("zeros of %d bytes", size)] = File{Content: strings.Repeat("\x00", size)}
	}
	tree.Entries["log"] = File{Content: strings.Repeat("user7 did read in 12 ms\n", 500_000)}
	tree.Entries["recording"] = File{Content: Random(20<<20, 99)}
	tree.Entries["z"] = HardLink{To: "recording"}
	return tree
}

func manyDirectories() Dir {
	tree := Dir{Entries: Entries{}}
	for i := range 300 {
		entries := Entries{}
		if i%7 == 0 {
			entries["file"] = File{Content: fmt.Sprint(i)}
		}
		tree.Entries[fmt.Sprintf("d%03d", i)] = Dir{Meta: Meta{ModTime: time.Unix(int64(i), int64(i))}, Entries: entries}
	}
	return tree
}

// deep has paths about as long as a program can still name in one go, and many levels.
func deep() Dir {
	long, steep := Dir{Entries: Entries{"f": File{Content: "at the end"}}}, Dir{Entries: Entries{"f": File{Content: "below"}}}
	for range 33 {
		long = Dir{Entries: Entries{strings.Repeat("l", 100): long, "beside": File{}}}
	}
	for range 300 {
		steep = Dir{Entries: Entries{"s": steep}}
	}
	return Dir{Entries: Entries{"long": long, "steep": steep}}
}

// longNames have names and targets whose lengths are around those of a tar header's fields.
func longNames() Dir {
	tree := Dir{Entries: Entries{}}
	for _, outer := range []int{1, 90, 149, 150, 151, 200} {
		entries := Entries{}
		for _, inner := range []int{4, 93, 94, 95, 99, 100, 101, 102, 154, 155, 156, 254} {
			name := strings.Repeat("i", inner)
			entries[name] = File{Content: name}
			entries["d"+name] = Dir{}
			entries["l"+name[1:]] = Symlink{Target: name}
		}
		tree.Entries[strings.Repeat("o", outer)] = Dir{Entries: entries}
	}
	return tree
}

// ManyHoles is a sparse file with n pieces of data.
func ManyHoles(n int64) Sparse {
	data := map[int64]string{}
	for i := range n {
		data[i*64<<10] = fmt.Sprint("piece ", i)
	}
	return Sparse{Size: n * 64 << 10, Data: data}
}

// Random is n incompressible bytes, the same for the same seed.
func Random(n int, seed uint64) string {
	b := make([]byte, n)
	var key [32]byte
	for i := range 8 {
		key[i] = byte(seed >> (8 * i))
	}
	_, _ = rand.NewChaCha8(key).Read(b)
	return string(b)
}
