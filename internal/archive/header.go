// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"cmp"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"appliance.io/backup-operator/internal/archive/tarstream"
)

// blockSize is the unit of a tar stream: headers are one block, content is padded to whole blocks.
const blockSize = 512

// Types of tar entries, as POSIX has them.
const (
	typeRegular   = '0'
	typeHardLink  = '1'
	typeSymlink   = '2'
	typeCharacter = '3'
	typeBlock     = '4'
	typeDirectory = '5'
	typeFIFO      = '6'
	typePax       = 'x'
)

// Limits of the fields of a ustar header; what exceeds them goes into a pax record.
const (
	maxName    = 100
	maxPrefix  = 155
	maxOctal7  = 1<<21 - 1 // uid, gid, device numbers
	maxOctal11 = 1<<33 - 1 // size, mtime: 8 GiB, the year 2242
)

// record is one record of a pax extended header.
type record struct{ key, value string }

// timestamp is a point in time as the kernel tells it.
type timestamp struct {
	sec  int64
	nsec int64
}

// newTimestamp makes a timestamp of what a file system says. One that is damaged, or is a program's, may say any number
// of nanoseconds; a second has no more than 999,999,999, and no archive or other file system takes more.
func newTimestamp(sec, nsec int64) timestamp {
	carry, rest := nsec/1e9, nsec%1e9
	if rest < 0 {
		carry, rest = carry-1, rest+1e9
	}
	switch sum := sec + carry; {
	case carry > 0 && sum < sec:
		return timestamp{math.MaxInt64, 1e9 - 1}
	case carry < 0 && sum > sec:
		return timestamp{math.MinInt64, 0}
	default:
		return timestamp{sum, rest}
	}
}

func (t timestamp) after(other timestamp) bool {
	return t.sec > other.sec || t.sec == other.sec && t.nsec > other.nsec
}

// tarHeader is what the headers of one entry say. The zero value of a field means that it isn't written.
type tarHeader struct {
	typ      byte
	name     string // with a trailing slash for directories
	link     string // target of hard and symbolic links
	mode     uint32 // permissions with setuid, setgid and sticky
	uid, gid uint32
	size     int64 // of what follows the header
	mtime    timestamp
	major    uint32
	minor    uint32
	records  []record // further pax records: xattrs, ACLs, sparse files
}

// appendHeader appends the entry's headers to dst: a pax header where a ustar header can't say it all, then the ustar
// header. The same tarHeader always gives the same bytes. Owners are numbers alone: names depend on who reads them.
func appendHeader(dst []byte, h *tarHeader) []byte {
	records := slices.Clone(h.records)
	prefix, name, ok := splitName(h.name)
	if !ok {
		records = appendText(records, "path", h.name)
	}
	if len(h.link) > maxName {
		records = appendText(records, "linkpath", h.link)
	}
	if h.uid > maxOctal7 {
		records = append(records, record{"uid", strconv.FormatUint(uint64(h.uid), 10)})
	}
	if h.gid > maxOctal7 {
		records = append(records, record{"gid", strconv.FormatUint(uint64(h.gid), 10)})
	}
	if h.size > maxOctal11 {
		records = append(records, record{"size", strconv.FormatInt(h.size, 10)})
	}
	if h.mtime.nsec != 0 || h.mtime.sec < 0 || h.mtime.sec > maxOctal11 {
		records = append(records, record{"mtime", tarstream.FormatTime(indexTime(h.mtime))})
	}
	dst = appendPax(dst, name, records)
	return appendUstar(dst, h, prefix, name)
}

// appendText adds a record that holds a name, and the declaration that it is bytes and not UTF-8 where that is so.
func appendText(records []record, key, value string) []record {
	charset := record{"hdrcharset", "BINARY"}
	if !utf8.ValidString(value) && !slices.Contains(records, charset) {
		records = append(records, charset)
	}
	return append(records, record{key, value})
}

// appendPax appends a pax extended header with the given records, or nothing if there are none.
func appendPax(dst []byte, name string, records []record) []byte {
	if len(records) == 0 {
		return dst
	}
	slices.SortFunc(records, compareRecords)
	size := 0
	for _, r := range records {
		size += r.size()
	}
	dst = appendUstar(dst, &tarHeader{typ: typePax, mode: 0o644, size: int64(size)}, "", paxName(name))
	for _, r := range records {
		dst = strconv.AppendInt(dst, int64(r.size()), 10)
		dst = append(dst, ' ')
		dst = append(dst, r.key...)
		dst = append(dst, '=')
		dst = append(dst, r.value...)
		dst = append(dst, '\n')
	}
	return appendPadding(dst, int64(size))
}

// compareRecords sorts by key, but for two whose places matter to readers.
func compareRecords(a, b record) int {
	return cmp.Or(cmp.Compare(rank(a.key), rank(b.key)), strings.Compare(a.key, b.key))
}

// rank of a key is lower for what comes before. hdrcharset is needed before the names that it speaks of. Python takes
// the last name there is, and the name of a sparse file that others see must not be that.
func rank(key string) int {
	switch key {
	case "hdrcharset":
		return 0
	case "GNU.sparse.name":
		return 2
	default:
		return 1
	}
}

// size is the length of the record as it is written, which counts the digits of the length itself.
func (r record) size() int {
	rest := len(" =\n") + len(r.key) + len(r.value)
	size := rest + len(strconv.Itoa(rest))
	// The digits may have made it one digit longer.
	return rest + len(strconv.Itoa(size))
}

// paxName is the name of an extended header, seen only by readers that don't know such headers.
func paxName(name string) string {
	base := strings.TrimSuffix(name, "/")
	base = "PaxHeaders/" + base[strings.LastIndexByte(base, '/')+1:]
	return base[:min(len(base), maxName)]
}

// appendUstar appends one 512-byte ustar header. Names that don't fit are cut: a pax header before it has them. Numbers
// that don't fit it has as well, but here they are written in binary, as GNU tar and others do: readers that take the
// names alone from pax headers, such as busybox, would pass over the content of a file of 8 GiB or more as if it were
// headers, and find nothing after it.
func appendUstar(dst []byte, h *tarHeader, prefix, name string) []byte {
	start := len(dst)
	dst = append(dst, zeros[:blockSize]...)
	b := dst[start:]
	copy(b[0:100], name)
	tarstream.PutOctal(b[100:108], int64(h.mode))
	tarstream.PutNumber(b[108:116], int64(h.uid), maxOctal7)
	tarstream.PutNumber(b[116:124], int64(h.gid), maxOctal7)
	tarstream.PutNumber(b[124:136], h.size, maxOctal11)
	tarstream.PutNumber(b[136:148], h.mtime.sec, maxOctal11)
	b[156] = h.typ
	copy(b[157:257], h.link)
	copy(b[257:265], "ustar\x0000")
	tarstream.PutNumber(b[329:337], int64(h.major), maxOctal7)
	tarstream.PutNumber(b[337:345], int64(h.minor), maxOctal7)
	copy(b[345:500], prefix)

	// The sum is taken with the field itself full of spaces, and ends in NUL and space as it ever has.
	sum := int64(8 * ' ')
	for _, c := range b {
		sum += int64(c)
	}
	tarstream.PutOctal(b[148:155], sum)
	b[155] = ' '
	return dst
}

// splitName divides a name into the two fields of a ustar header; false if it fits neither one nor both.
func splitName(name string) (prefix, rest string, ok bool) {
	if len(name) <= maxName {
		return "", name, true
	}
	// The longest prefix leaves the shortest name. A directory's trailing slash is no place to split.
	end := min(len(name)-1, maxPrefix+1)
	i := strings.LastIndexByte(name[:end], '/')
	if i <= 0 || len(name)-i-1 > maxName {
		return "", name[:maxName], false
	}
	return name[:i], name[i+1:], true
}

// zeros is what padding is cut from.
var zeros [64 << 10]byte

// padding is the number of bytes that fill size up to whole blocks.
func padding(size int64) int64 {
	return -size & (blockSize - 1)
}

// appendPadding appends the zeros that fill size up to whole blocks.
func appendPadding(dst []byte, size int64) []byte {
	return append(dst, zeros[:padding(size)]...)
}
