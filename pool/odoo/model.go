package odoo

import (
	"context"
	"encoding/json"

	"hearth/internal/guard"
)

// Model is what a model is called and which fields it has.
type Model struct {
	// Name is the display name, "Contact" of res.partner, or the technical one where Odoo tells no other: models
	// that the user may not read, and abstract and transient ones.
	Name string `json:"name"`
	// Fields by name, each an object with string, type, required and readonly, and where they apply relation and
	// selection. A field that the user may not see is not there.
	Fields map[string]json.RawMessage `json:"fields"`
}

// attributes of a field that a caller can use. All of them cost Odoo about six times as much.
const attributes = `["string","type","required","readonly","relation","selection"]`

// Model asks for the model of that technical name, with two requests at the same time. If only the display name
// cannot be had, the technical one stands in. Errors are those of [Client.Call]; an unknown model is an [*Error]
// of status 404.
func (c *Client) Model(ctx context.Context, name string) (Model, error) {
	if !ValidModel(name) {
		return Model{}, Call{Model: name}.validate()
	}
	m := Model{Name: name}
	display := ""
	err := guard.All(func() error {
		fields, err := c.call(ctx, Call{Model: name, Method: "fields_get", Kwargs: map[string]json.RawMessage{
			"attributes": json.RawMessage(attributes),
		}}, true)
		if err != nil {
			return err
		}
		if json.Unmarshal(fields, &m.Fields) != nil || m.Fields == nil {
			return strange("the fields of "+name, 200)
		}
		return nil
	}, func() error {
		display = c.displayName(ctx, name)
		return nil
	})
	if err != nil {
		return Model{}, err
	}
	if display != "" {
		m.Name = display
	}
	return m, nil
}

// displayName is "" if it cannot be had. ir.model itself is closed to ordinary users; display_name_for is not, and
// tells them nothing of models they may not read.
func (c *Client) displayName(ctx context.Context, name string) string {
	names, err := json.Marshal([]string{name})
	if err != nil {
		return ""
	}
	raw, err := c.call(ctx, Call{Model: "ir.model", Method: "display_name_for", Kwargs: map[string]json.RawMessage{
		"models": names,
	}}, true)
	var found []struct {
		DisplayName string `json:"display_name"`
	}
	if err != nil || json.Unmarshal(raw, &found) != nil || len(found) != 1 {
		return ""
	}
	return found[0].DisplayName
}
