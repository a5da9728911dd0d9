package odoo

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"hearth/internal/guard"
)

// Model is what a model is called and which fields it has.
type Model struct {
	// Name is the display name, "Contact" of res.partner, or the technical one where Odoo tells no other: models
	// that the user may not read, and abstract and transient ones.
	Name string
	// Fields is a JSON object: by name, each an object with string, type, required and readonly, and where they apply
	// relation and selection. A field that the user may not see is not there.
	Fields json.RawMessage
}

// attributes of a field that a caller can use. All of them cost Odoo about six times as much.
const attributes = `["string","type","required","readonly","relation","selection"]`

// Model asks for the model of that technical name, with two requests at the same time. If only the display name
// cannot be had, the technical one stands in. Errors are those of [Client.Call]; an unknown model is an [*Error]
// of the kind [NotFound].
func (c *Client) Model(ctx context.Context, name string) (Model, error) {
	if !ValidModel(name) {
		return Model{}, Call{Model: name}.validate()
	}
	var m Model
	err := guard.All(func() (err error) {
		m.Fields, err = c.call(ctx, Call{Model: name, Method: "fields_get", Kwargs: map[string]json.RawMessage{
			"attributes": json.RawMessage(attributes),
		}}, true)
		if e, ok := errors.AsType[*Error](err); ok && e.Name == "UnknownModel" {
			e.Message += ": install the app that brings it, or take it out of HEARTH_ODOO_MODELS"
		}
		if err == nil && !isObject(m.Fields) {
			err = unexpectedResult("no fields of " + name)
		}
		return err
	}, func() error {
		m.Name = c.displayName(ctx, name)
		return nil
	})
	if err != nil {
		return Model{}, err
	}
	m.Name = cmp.Or(m.Name, name)
	return m, nil
}

// displayName is "" if Odoo does not tell it. Since Odoo 16 ordinary users may not read ir.model itself, but may call its
// display_name_for, which leaves out models that they may not read.
func (c *Client) displayName(ctx context.Context, name string) string {
	quoted, err := json.Marshal(name)
	if err != nil {
		return ""
	}
	raw, err := c.call(ctx, Call{Model: "ir.model", Method: "display_name_for", Kwargs: map[string]json.RawMessage{
		"models": fmt.Appendf(nil, "[%s]", quoted),
	}}, true)
	if e, ok := errors.AsType[*Error](err); ok && e.Name == "UnknownMethod" {
		raw, err = c.call(ctx, Call{Model: "ir.model", Method: "search_read", Kwargs: map[string]json.RawMessage{
			"domain": fmt.Appendf(nil, `[["model","=",%s]]`, quoted), "fields": json.RawMessage(`["name"]`),
		}}, true)
	}
	var found [1]struct {
		Name        string
		DisplayName string `json:"display_name"`
	}
	if err != nil || json.Unmarshal(raw, &found) != nil {
		return ""
	}
	return cmp.Or(found[0].DisplayName, found[0].Name)
}
