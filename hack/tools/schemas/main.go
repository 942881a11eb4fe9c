// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

// Command schemas writes the JSON schemas that kubeconform checks manifests against, without a network.
//
// kubeconform downloads its schemas. They are derived from the OpenAPI document of Kubernetes, which is also part of
// the Go module k8s.io/kubernetes; so this command derives them from there, in the very version that the tests run,
// and those of our own resources from their CRDs. The schemas are strict: an object that says which fields it has
// accepts no others, as with kubectl's strict field validation.
//
// Usage: schemas SWAGGER DIRECTORY CRD...
//
// Each schema is written to DIRECTORY/<group>_<version>_<kind>.json; the group of core kinds is "v1", as kubeconform's
// template {{.Group}} has it.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"sigs.k8s.io/yaml"
)

// refPrefix is what references between the definitions of a Swagger document begin with.
const refPrefix = "#/definitions/"

// object is a JSON object of a document whose shape is somebody else's.
type object = map[string]any

func main() {
	if len(os.Args) < 3 {
		fmt.Fprintln(os.Stderr, "usage: schemas SWAGGER DIRECTORY CRD...")
		os.Exit(2)
	}
	if err := run(os.Args[1], os.Args[2], os.Args[3:]); err != nil {
		fmt.Fprintf(os.Stderr, "schemas: %v\n", err)
		os.Exit(1)
	}
}

func run(swagger, directory string, crds []string) error {
	if err := writeKubernetes(swagger, directory); err != nil {
		return err
	}
	for _, crd := range crds {
		if err := writeCRD(crd, directory); err != nil {
			return err
		}
	}
	return nil
}

// writeKubernetes writes a schema for each kind of a Swagger document.
func writeKubernetes(swagger, directory string) error {
	content, err := os.ReadFile(swagger)
	if err != nil {
		return err
	}
	var document struct {
		Definitions map[string]object `json:"definitions"`
	}
	if err := json.Unmarshal(content, &document); err != nil {
		return fmt.Errorf("%s: %w", swagger, err)
	}
	relaxUnions(document.Definitions)
	for _, definition := range document.Definitions {
		forbidOthers(definition)
	}
	for name, definition := range document.Definitions {
		kinds, _ := definition["x-kubernetes-group-version-kind"].([]any)
		// A definition with many kinds is one of the shared ones, such as DeleteOptions: no manifest is made of it.
		if len(kinds) != 1 {
			continue
		}
		kind := kinds[0].(object)
		reachable := map[string]object{}
		collect(name, document.Definitions, reachable)
		schema := object{"$ref": refPrefix + name, "definitions": reachable}
		if err := write(directory, kind["group"].(string), kind["version"].(string), kind["kind"].(string), schema); err != nil {
			return err
		}
	}
	return nil
}

// relaxUnions opens the definitions whose values are of more types than Swagger can say.
func relaxUnions(definitions map[string]object) {
	const apiextensions = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1."
	definitions["io.k8s.apimachinery.pkg.util.intstr.IntOrString"] = object{"type": []any{"integer", "string"}}
	definitions["io.k8s.apimachinery.pkg.api.resource.Quantity"] = object{"type": []any{"number", "string"}}
	definitions[apiextensions+"JSONSchemaPropsOrBool"] = object{
		"oneOf": []any{object{"type": "boolean"}, object{"$ref": refPrefix + apiextensions + "JSONSchemaProps"}},
	}
	definitions[apiextensions+"JSONSchemaPropsOrArray"] = object{
		"oneOf": []any{
			object{"$ref": refPrefix + apiextensions + "JSONSchemaProps"},
			object{"type": "array", "items": object{"$ref": refPrefix + apiextensions + "JSONSchemaProps"}},
		},
	}
}

// collect adds the definition name and all that it refers to.
func collect(name string, definitions, reachable map[string]object) {
	definition, known := definitions[name]
	if _, done := reachable[name]; done || !known {
		return
	}
	reachable[name] = definition
	each(definition, func(o object) {
		if ref, ok := o["$ref"].(string); ok {
			collect(strings.TrimPrefix(ref, refPrefix), definitions, reachable)
		}
	})
}

// writeCRD writes a schema for each version of a CustomResourceDefinition.
func writeCRD(path, directory string) error {
	content, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var crd apiextensionsv1.CustomResourceDefinition
	if err := yaml.Unmarshal(content, &crd); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	for _, version := range crd.Spec.Versions {
		encoded, err := json.Marshal(version.Schema.OpenAPIV3Schema)
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		var schema object
		if err := json.Unmarshal(encoded, &schema); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		forbidOthers(schema)
		if err := write(directory, crd.Spec.Group, version.Name, crd.Spec.Names.Kind, schema); err != nil {
			return err
		}
	}
	return nil
}

// forbidOthers makes every object in a schema that lists its properties refuse all others. It leaves the branches of
// anyOf, oneOf and allOf alone: each of those speaks of a part of an object only.
func forbidOthers(value any) {
	schema, ok := value.(object)
	if !ok {
		return
	}
	properties, lists := schema["properties"].(object)
	for _, property := range properties {
		forbidOthers(property)
	}
	for _, key := range []string{"items", "additionalProperties"} {
		forbidOthers(schema[key])
	}
	_, open := schema["additionalProperties"]
	if lists && !open && schema["x-kubernetes-preserve-unknown-fields"] != true {
		schema["additionalProperties"] = false
	}
}

// each calls visit with value and every JSON object below it.
func each(value any, visit func(object)) {
	switch value := value.(type) {
	case object:
		visit(value)
		for _, child := range value {
			each(child, visit)
		}
	case []any:
		for _, child := range value {
			each(child, visit)
		}
	}
}

func write(directory, group, version, kind string, schema object) error {
	if group == "" {
		group = version
	}
	content, err := json.Marshal(schema)
	if err != nil {
		return err
	}
	name := strings.ToLower(fmt.Sprintf("%s_%s_%s.json", group, version, kind))
	return os.WriteFile(filepath.Join(directory, name), content, 0o644)
}
