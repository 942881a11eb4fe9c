// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utiljson "k8s.io/apimachinery/pkg/util/json"
)

// UnmarshalJSON implements json.Unmarshaler. It decodes a policy whose spec can't be decoded without it, and sets
// Undecodable. If it returned an error, one such policy, stored while an earlier CRD accepted it, would keep every client
// from listing and watching all policies. A status that can't be decoded is empty: the operator writes it again.
func (p *BackupPolicy) UnmarshalJSON(text []byte) error {
	var parts struct {
		metav1.TypeMeta   `json:",inline"`
		metav1.ObjectMeta `json:"metadata"`
		Spec              json.RawMessage `json:"spec"`
		Status            json.RawMessage `json:"status"`
	}
	if err := utiljson.Unmarshal(text, &parts); err != nil {
		return err
	}
	*p = BackupPolicy{TypeMeta: parts.TypeMeta, ObjectMeta: parts.ObjectMeta}
	if err := decode("status", parts.Status, &p.Status); err != nil {
		p.Status = BackupPolicyStatus{}
	}
	if err := decode("spec", parts.Spec, &p.Spec); err != nil {
		p.Spec, p.Undecodable = BackupPolicySpec{}, err.Error()
	}
	return nil
}

// suspicious finds what may be a quantity that takes forever to decode: its exponent or its digits are too many.
var suspicious = regexp.MustCompile(`[0-9.][eE][+-]?[0-9]{3}|[0-9.]{64}`)

// decode decodes a part of a policy. The error names the field.
func decode(path string, text json.RawMessage, into any) error {
	if len(text) == 0 {
		return nil
	}
	var err error
	if !suspicious.Match(text) {
		if err = utiljson.Unmarshal(text, into); err == nil {
			return nil
		}
	}
	var value any
	if err := utiljson.Unmarshal(text, &value); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if err := check(path, value, reflect.TypeOf(into).Elem()); err != nil {
		return err
	}
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return utiljson.Unmarshal(text, into)
}

var (
	unmarshaler  = reflect.TypeFor[json.Unmarshaler]()
	quantityType = reflect.TypeFor[resource.Quantity]()
)

// check returns an error that names the first field of a value that can't be decoded into a type.
func check(path string, value any, into reflect.Type) error {
	if value == nil {
		return nil
	}
	if into.Kind() == reflect.Pointer {
		return check(path, value, into.Elem())
	}
	if !reflect.PointerTo(into).Implements(unmarshaler) {
		switch v := value.(type) {
		case map[string]any:
			return checkFields(path, v, into)
		case []any:
			if into.Kind() == reflect.Slice {
				return checkItems(path, v, into.Elem())
			}
		}
	}
	return checkLeaf(path, value, into)
}

func checkFields(path string, object map[string]any, into reflect.Type) error {
	types := map[string]reflect.Type{}
	switch into.Kind() {
	case reflect.Map:
		for name := range object {
			types[name] = into.Elem()
		}
	case reflect.Struct:
		for _, field := range reflect.VisibleFields(into) {
			name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
			types[name] = field.Type
		}
	default:
		return checkLeaf(path, object, into)
	}
	for _, name := range slices.Sorted(maps.Keys(object)) {
		if field, known := types[name]; known {
			if err := check(path+"."+name, object[name], field); err != nil {
				return err
			}
		}
	}
	return nil
}

func checkItems(path string, items []any, into reflect.Type) error {
	for i, item := range items {
		if err := check(fmt.Sprintf("%s[%d]", path, i), item, into); err != nil {
			return err
		}
	}
	return nil
}

func checkLeaf(path string, value any, into reflect.Type) error {
	text, err := json.Marshal(value)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if into == quantityType && suspicious.Match(text) {
		return fmt.Errorf("%s: %s: a quantity cannot have so many digits", path, text)
	}
	if err := utiljson.Unmarshal(text, reflect.New(into).Interface()); err != nil {
		return fmt.Errorf("%s: %s: %w", path, text, err)
	}
	return nil
}
