// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

// Command crd finishes a CRD that controller-gen has written, so that it accepts no value that Go can't decode, and reads
// well in kubectl explain.
//
// Fields of Kubernetes' own types can't carry markers, and what controller-gen writes for some of them is too wide: a
// quantity may be 1e1.5, which no client can read, or 1e-999999999, which keeps a client busy forever; a port may be a
// number of more than 32 bits. One such object keeps clients from reading the list of all objects.
//
// Descriptions have the line breaks of Go comments, beside which kubectl explain prints its own, so that sentences end in
// the middle of a line. Each paragraph becomes one line.
//
// Usage: crd FILE
package main

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"os"

	"sigs.k8s.io/yaml"
)

// object is a JSON object of a CRD.
type object = map[string]any

const (
	// anyQuantity is how controller-gen describes a resource.Quantity.
	anyQuantity = `^(\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))` +
		`(([KMGTPE]i)|[numkMGTPE]|([eE](\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))))?$`
	// quantity is what resource.ParseQuantity reads, with an exponent that it computes at once.
	quantity = `^[+-]?([0-9]{1,20}(\.[0-9]{0,20})?|\.[0-9]{1,20})` +
		`([KMGTPE]i|[numkMGTPE]|[eE][+-]?[0-9]{1,2})?$`
	maxQuantityLength = 48
	// dateTime is RFC 3339 as Go reads it. The format date-time allows lower case and leap seconds too.
	dateTime = `^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]` +
		`(\.[0-9]{1,9})?(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])$`
	// isTime refuses what is no text: of a field with a format, the API server takes an empty list as well.
	isTime = "self >= timestamp('0001-01-01T00:00:00Z')"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: crd FILE")
		os.Exit(2)
	}
	if err := finish(os.Args[1]); err != nil {
		fmt.Fprintf(os.Stderr, "crd: %s: %v\n", os.Args[1], err)
		os.Exit(1)
	}
}

func finish(file string) error {
	content, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var crd object
	if err := yaml.Unmarshal(content, &crd); err != nil {
		return err
	}
	tighten(crd, false)
	unwrapAll(crd)
	if content, err = yaml.Marshal(crd); err != nil {
		return err
	}
	if !bytes.Contains(content, []byte(quantity)) || bytes.Contains(content, []byte(anyQuantity)) {
		return errors.New("controller-gen describes quantities in another way: adapt this command")
	}
	return os.WriteFile(file, append([]byte("---\n"), content...), 0o644)
}

// tighten changes all schemas in a part of a CRD. Only the status may hold numbers of more than 32 bits: sizes in bytes. In
// the spec they are seconds, of which more make durations overflow.
func tighten(part any, status bool) {
	switch v := part.(type) {
	case object:
		tightenSchema(v, status)
		for name, below := range v {
			tighten(below, status || name == "status")
		}
	case []any:
		for _, below := range v {
			tighten(below, status)
		}
	}
}

func tightenSchema(schema object, status bool) {
	switch format := schema["format"]; {
	case schema["pattern"] == anyQuantity:
		schema["pattern"], schema["maxLength"] = quantity, maxQuantityLength
	case schema["x-kubernetes-int-or-string"] == true, format == "int64" && !status:
		setDefault(schema, "minimum", math.MinInt32)
		setDefault(schema, "maximum", math.MaxInt32)
	case format == "date-time":
		schema["pattern"] = dateTime
		schema["x-kubernetes-validations"] = []any{
			object{"rule": isTime, "message": "must be a time, such as 2026-11-22T05:00:00Z"},
		}
	}
}

func setDefault(schema object, name string, value int64) {
	if _, set := schema[name]; !set {
		schema[name] = value
	}
}
