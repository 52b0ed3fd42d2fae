package main

import (
	_ "embed" // what is not told by types
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/renest/renest/topology"
)

// graphSchema defines what package topology encodes by hand.
//
//go:embed graph.schema.json
var graphSchema []byte

// outputs is what the commands print as JSON. Null in place of a value is what
// exists and was not read, see package topology.
var outputs = map[string]reflect.Type{
	"list":    reflect.TypeFor[*topology.Graph](),
	"show":    reflect.TypeFor[*topology.Graph](),
	"outline": reflect.TypeFor[outlineListJSON](),
	"diff":    reflect.TypeFor[diffJSON](),
	"check":   reflect.TypeFor[checked](),
	"host":    reflect.TypeFor[[]jsonFeature](), // check without a tree
	"caps":    reflect.TypeFor[actorJSON](),
	"who":     reflect.TypeFor[whoJSON](),
	"why":     reflect.TypeFor[whyJSON](),
	"restore": reflect.TypeFor[restoredJSON](),
	"plan":    reflect.TypeFor[planJSON](),  // restore --dry-run
	"watch":   reflect.TypeFor[eventJSON](), // a line of it
	"ps":      reflect.TypeFor[[]psJSON](),
}

func schemaCommand() *cli.Command {
	return &cli.Command{
		Name:      "schema",
		Usage:     "print the JSON Schema of what a command prints with --json",
		UsageText: "renest schema OUTPUT   (OUTPUT: " + sentence(outputNames()) + ";\n   host is check without a tree, plan is restore --dry-run, outline is list --outline)",
		Action:    runSchema,
	}
}

func outputNames() []string {
	var names []string
	for name := range outputs {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func runSchema(c *cli.Context) error {
	if err := noMore(c, 1); err != nil {
		return err
	}
	name := append(operands(c), "")[0]
	if name == "" {
		return usagef("schema: of which output? %s", sentence(outputNames()))
	}
	if outputs[name] == nil {
		return usagef("schema: %q is none of %s", name, sentence(outputNames()))
	}
	s, err := schemaOf(name)
	if err != nil {
		return err
	}
	return writeJSON(c.App.Writer, s)
}

// object is a JSON object.
type object = map[string]any

// schemaOf returns the schema of an output. That of a type is what encoding/json
// makes of it. Fields are added in time: no object is closed.
func schemaOf(name string) (object, error) {
	defs := object{}
	if err := json.Unmarshal(graphSchema, &defs); err != nil {
		return nil, err
	}
	s := schemaFor(outputs[name])
	s["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	s["title"] = "renest " + name + " --json"
	s["$defs"] = defs
	return s, nil
}

func schemaFor(t reflect.Type) object {
	switch t {
	case reflect.TypeFor[*topology.Graph]():
		return object{"$ref": "#/$defs/graph"}
	case reflect.TypeFor[*topology.Namespace]():
		return object{"$ref": "#/$defs/namespace"}
	case reflect.TypeFor[time.Time]():
		return object{"type": "string", "format": "date-time"}
	}
	switch t.Kind() {
	case reflect.Pointer:
		return object{"anyOf": []any{schemaFor(t.Elem()), object{"type": "null"}}}
	case reflect.Slice:
		return object{"type": "array", "items": schemaFor(t.Elem())}
	case reflect.Map:
		return object{"type": "object", "additionalProperties": schemaFor(t.Elem())}
	case reflect.Struct:
		s := object{"type": "object"}
		properties, required := object{}, []string{}
		fieldsOf(t, properties, &required)
		s["properties"], s["required"] = properties, required
		return s
	case reflect.Bool:
		return object{"type": "boolean"}
	case reflect.String:
		return object{"type": "string"}
	case reflect.Int, reflect.Int32, reflect.Int64:
		return object{"type": "integer"}
	case reflect.Uint32, reflect.Uint64:
		return object{"type": "integer", "minimum": 0}
	}
	return object{} // anything
}

// fieldsOf adds the fields of a struct, and those of structs embedded in it.
func fieldsOf(t reflect.Type, properties object, required *[]string) {
	for f := range t.Fields() {
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case f.Anonymous && name == "":
			embedded := f.Type
			if embedded.Kind() == reflect.Pointer {
				embedded = embedded.Elem()
			}
			fieldsOf(embedded, properties, required)
			continue
		case !f.IsExported() || name == "-":
			continue
		case name == "":
			name = f.Name
		}
		properties[name] = schemaFor(f.Type)
		if !strings.Contains(options, "omitempty") {
			*required = append(*required, name)
		}
	}
}
