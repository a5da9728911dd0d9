package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"hearth/client"
)

// answer is what both ways have to agree on.
type answer struct {
	History  [][3]string `json:"history"` // id, role, content
	Muted    bool        `json:"muted"`
	Relevant []string    `json:"relevant"` // ids
	Model    string      `json:"model"`    // display name
	Fields   []string    `json:"fields"`   // names
}

func ofHearth(p *client.Preprocess) answer {
	a := answer{Muted: p.MuteStatus.Muted, Model: p.OdooModels["res.partner"].Name}
	for _, m := range p.History.AllMessages {
		a.History = append(a.History, [3]string{m.ID, m.Role, m.Content})
	}
	for _, m := range p.RelevantMessages {
		a.Relevant = append(a.Relevant, m.ID)
	}
	for name := range p.OdooModels["res.partner"].Fields {
		a.Fields = append(a.Fields, name)
	}
	slices.Sort(a.Fields)
	return a
}

// ofUpstreams reads the replies to directCalls.
func ofUpstreams(replies map[string]any) (a answer, err error) {
	type object struct {
		Role       string    `json:"role"`
		Content    string    `json:"content"`
		CreatedAt  time.Time `json:"created_at"`
		Muted      bool      `json:"muted"`
		Additional struct {
			ID string `json:"id"`
		} `json:"_additional"`
	}
	rows := func(name, class string) []object {
		var r struct {
			Data   struct{ Get map[string][]object }
			Errors []any
		}
		if e := convert(replies[name], &r); e != nil {
			err = errors.Join(err, fmt.Errorf("%s: %w", name, e))
		}
		if len(r.Errors) > 0 {
			err = errors.Join(err, fmt.Errorf("%s: %v", name, r.Errors))
		}
		return r.Data.Get[class]
	}
	history := append(rows("history_user", "Message"), rows("history_assistant", "Message")...)
	slices.SortFunc(history, func(x, y object) int {
		return cmp.Or(x.CreatedAt.Compare(y.CreatedAt), -cmp.Compare(x.Role, y.Role), cmp.Compare(x.Additional.ID, y.Additional.ID))
	})
	for _, m := range history {
		a.History = append(a.History, [3]string{m.Additional.ID, m.Role, m.Content})
	}
	for _, m := range rows("mute", "ChatStatus") {
		a.Muted = a.Muted || m.Muted
	}
	for _, m := range rows("relevant", "Message") {
		a.Relevant = append(a.Relevant, m.Additional.ID)
	}
	var names []struct {
		DisplayName string `json:"display_name"`
	}
	var fields map[string]any
	err = errors.Join(err, convert(replies["model_name"], &names), convert(replies["model_fields"], &fields))
	if len(names) != 1 {
		return a, errors.Join(err, fmt.Errorf("names of one model: %v", names))
	}
	a.Model, a.Fields = names[0].DisplayName, slices.Sorted(maps.Keys(fields))
	return a, err
}

// convert reads decoded JSON as a type.
func convert(from, into any) error {
	b, err := json.Marshal(from)
	if err != nil {
		return err
	}
	return json.Unmarshal(b, into)
}
