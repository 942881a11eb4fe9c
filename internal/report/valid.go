// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package report

import (
	"fmt"
	"math"
	"reflect"
	"regexp"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Anybody who may run a container of a run's name writes what the operator reads, and a value that the API server doesn't
// take would have it refuse the whole status for as long as the Job exists. So each value of a report is checked, whoever
// wrote it. The checks follow from a field's type, and for strings from the tag "check", and a string without that tag
// makes every report with it invalid: a field that is added later can't be forgotten.

// maxNumber is the most that a count or a size can be: an EiB.
const maxNumber = 1 << 60

// stringRule is what holds for a string.
type stringRule struct {
	// valid reports whether a string that isn't empty is as the rule has it.
	valid func(s string) bool
	// mayBeEmpty says that the empty string is valid also where it isn't left out.
	mayBeEmpty bool
	// repair makes a string valid; nil where ours are.
	repair func(s string) string
}

// allows reports whether a string is valid in a field with these tags.
func (r stringRule) allows(s string, tag reflect.StructTag) bool {
	if s == "" {
		return r.mayBeEmpty || strings.HasSuffix(tag.Get("json"), ",omitempty")
	}
	return r.valid(s)
}

// stringRules are the rules by the value of the tag "check".
var stringRules = map[string]stringRule{
	// text is shown to people, on one line.
	"text": {valid: isText, mayBeEmpty: true, repair: asText},
	// name is a file's name, without a directory.
	"name": {valid: isFileName},
	// word becomes a reason or an enumerated value of the API.
	"word": {valid: regexp.MustCompile(`^[A-Za-z][A-Za-z0-9]{0,127}$`).MatchString},
}

func isText(s string) bool { return utf8.ValidString(s) && !strings.ContainsFunc(s, isControl) }

// isControl reports whether a rune ends a line, moves a terminal's cursor or turns the direction of writing.
func isControl(r rune) bool {
	return unicode.Is(unicode.C, r) || unicode.Is(unicode.Zl, r) || unicode.Is(unicode.Zp, r)
}

// asText shows on one line what isn't text.
func asText(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case isControl(r):
			return utf8.RuneError
		default:
			return r
		}
	}, strings.ToValidUTF8(s, string(utf8.RuneError)))
}

func isFileName(s string) bool {
	const maxName = 255
	return isText(s) && len(s) <= maxName && !strings.ContainsAny(s, `/\`) && s != "." && s != ".."
}

// visitor is called with each value of a report that isn't made of others, and with the name and the tags of its field.
type visitor func(v reflect.Value, path string, tag reflect.StructTag) error

// walk visits all values in v.
func walk(v reflect.Value, path string, tag reflect.StructTag, visit visitor) error {
	switch {
	case v.Type() == reflect.TypeFor[time.Time]():
		return visit(v, path, tag)
	case v.Kind() == reflect.Pointer && v.IsNil():
		return nil
	case v.Kind() == reflect.Pointer:
		return walk(v.Elem(), path, tag, visit)
	case v.Kind() == reflect.Struct:
		for i := range v.NumField() {
			field := v.Type().Field(i)
			if err := walk(v.Field(i), path+"."+field.Name, field.Tag, visit); err != nil {
				return err
			}
		}
		return nil
	case v.Kind() == reflect.Slice:
		for i := range v.Len() {
			if err := walk(v.Index(i), fmt.Sprintf("%s[%d]", path, i), tag, visit); err != nil {
				return err
			}
		}
		return nil
	default:
		return visit(v, path, tag)
	}
}

// check returns an error that names the first value of the report that isn't valid.
func (r *Report) check() error {
	return walk(reflect.ValueOf(r), "report", "", checkValue)
}

func checkValue(v reflect.Value, path string, tag reflect.StructTag) error {
	var valid bool
	switch value := v.Interface().(type) {
	case time.Time:
		valid = value.IsZero() || value.Year() >= 1970 && value.Year() <= 9999
	case bool:
		valid = true
	case int:
		valid = value >= 0 && value <= math.MaxInt32
	case int64:
		valid = value >= 0 && value <= maxNumber
	default:
		rule, known := stringRules[tag.Get("check")]
		if v.Kind() != reflect.String || !known {
			return fmt.Errorf("%s: there is no rule for a %s with the tag check:%q", path, v.Type(), tag.Get("check"))
		}
		valid = rule.allows(v.String(), tag)
	}
	if !valid {
		return fmt.Errorf("%s is %.100q", path, fmt.Sprint(v.Interface()))
	}
	return nil
}

// repair makes valid what a run may come across: file names with control characters, and file systems that claim to have
// no end.
func (r *Report) repair() {
	// A visitor that returns no error stops nothing.
	_ = walk(reflect.ValueOf(r), "", "", func(v reflect.Value, _ string, tag reflect.StructTag) error {
		switch rule := stringRules[tag.Get("check")]; {
		case v.Kind() == reflect.Int:
			v.SetInt(min(max(v.Int(), 0), math.MaxInt32))
		case v.Kind() == reflect.Int64:
			v.SetInt(min(max(v.Int(), 0), maxNumber))
		case v.Kind() == reflect.String && rule.repair != nil:
			v.SetString(rule.repair(v.String()))
		}
		return nil
	})
}
