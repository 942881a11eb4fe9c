// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package tarstream

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"appliance.io/backup-operator/internal/archive/index"
)

// Numbers and times of headers are written and parsed here alone, so that every one that is written can be parsed: all
// times that 64 bits of seconds hold, all sizes, and all owners and device numbers of 32 bits.

// second is a second in nanoseconds.
const second = 1_000_000_000

// PutNumber fills a field of a header with v: in octal if it is from 0 to limit, else in binary, as GNU tar does.
func PutNumber(field []byte, v, limit int64) {
	if 0 <= v && v <= limit {
		PutOctal(field, v)
		return
	}
	for i := len(field) - 1; i >= 0; i-- {
		field[i] = byte(v)
		v >>= 8 // A negative number stays negative.
	}
	field[0] |= 0x80
}

// PutOctal fills a field with v's octal digits and a final NUL.
func PutOctal(field []byte, v int64) {
	field[len(field)-1] = 0
	for i := len(field) - 2; i >= 0; i-- {
		field[i] = byte('0' + v&7)
		v >>= 3
	}
}

// parseNumber reads a field: octal digits, or binary where the first bit is set.
func parseNumber(field []byte) (int64, error) {
	if field[0]&0x80 != 0 {
		return parseBinary(field)
	}
	digits := bytes.Trim(field, " \x00")
	v := int64(0)
	for _, c := range digits {
		if c < '0' || c > '7' {
			return 0, fmt.Errorf("%q is not a number", field)
		}
		v = v<<3 | int64(c-'0')
	}
	return v, nil
}

// parseBinary reads a number in base 256, big-endian, in two's complement without its first bit.
func parseBinary(field []byte) (int64, error) {
	v, fillByte := int64(0), byte(0)
	if field[0]&0x40 != 0 {
		v, fillByte = -1, 0xFF
	}
	for i, c := range field {
		if i == 0 {
			c = c&0x7F | fillByte&0x80
		}
		if high := v >> 55; high != 0 && high != -1 {
			return 0, errors.New("a number is too big")
		}
		v = v<<8 | int64(c)
	}
	return v, nil
}

// maxNumber is how many digits a number may have, more than any has.
const maxNumber = 40

// parseDecimal reads digits, and nothing but digits.
func parseDecimal(b []byte, limit int64) (int64, error) {
	v, err := strconv.ParseUint(string(b[:min(len(b), maxNumber)]), 10, 63)
	if err != nil || int64(v) > limit {
		return 0, fmt.Errorf("%.40q is not a number up to %d", b, limit)
	}
	return int64(v), nil
}

// FormatTime writes a time as a pax record has it, a decimal number of seconds without needless zeros. The nanoseconds
// must be from 0 to 999,999,999.
func FormatTime(t index.Time) string {
	// The kernel counts nanoseconds upwards from the second before; a decimal counts away from zero. The magnitude of
	// the earliest second takes 64 bits.
	sec, nsec, sign := uint64(t.Sec), int64(t.Nsec), ""
	if t.Sec < 0 {
		sec, sign = -sec, "-"
		if nsec > 0 {
			sec, nsec = sec-1, second-nsec
		}
	}
	s := sign + strconv.FormatUint(sec, 10)
	if nsec == 0 {
		return s
	}
	fraction := strconv.FormatInt(second+nsec, 10)[1:]
	return s + "." + strings.TrimRight(fraction, "0")
}

// parseTime reads what FormatTime writes.
func parseTime(s string) (index.Time, error) {
	malformed := fmt.Errorf("%.40q is not a time", s)
	digits, negative := strings.CutPrefix(s, "-")
	whole, fraction, _ := strings.Cut(digits, ".")
	sec, err := strconv.ParseUint(whole[:min(len(whole), maxNumber)], 10, 64)
	if err != nil || len(fraction) > 9 {
		return index.Time{}, malformed
	}
	nsec, err := parseDecimal([]byte((fraction + "000000000")[:9]), second-1)
	if err != nil {
		return index.Time{}, malformed
	}
	latest := uint64(1<<63 - 1)
	switch {
	case !negative && sec <= latest:
		return index.Time{Sec: int64(sec), Nsec: int32(nsec)}, nil
	case negative && nsec > 0 && sec <= latest:
		return index.Time{Sec: -int64(sec) - 1, Nsec: int32(second - nsec)}, nil
	case negative && nsec == 0 && sec <= latest+1:
		return index.Time{Sec: int64(-sec)}, nil
	}
	return index.Time{}, malformed
}
