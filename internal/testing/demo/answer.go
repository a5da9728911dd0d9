package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	pb "github.com/weaviate/weaviate/grpc/generated/protocol/v1"
	"google.golang.org/protobuf/proto"

	"hearth/client"
)

// answer is what all ways have to agree on.
type answer struct {
	History  [][3]string // id, role, content
	Muted    bool
	Relevant []string // ids
	Model    string   // display name
	Fields   []string // names
}

func ofHearth(p *client.Preprocess) (a answer, err error) {
	if len(p.Errors) > 0 {
		return a, fmt.Errorf("parts failed: %v", p.Errors)
	}
	if p.MuteStatus == nil || p.History == nil {
		return a, fmt.Errorf("a part is missing: %+v", p)
	}
	a.Muted, a.Model = p.MuteStatus.Muted, p.OdooModels["res.partner"].Name
	for _, m := range p.History.AllMessages {
		a.History = append(a.History, [3]string{m.ID, m.Role, m.Content})
	}
	for _, m := range p.RelevantMessages {
		a.Relevant = append(a.Relevant, m.ID)
	}
	a.Fields = slices.Sorted(maps.Keys(p.OdooModels["res.partner"].Fields))
	return a, nil
}

// row is an object in a reply of Weaviate.
type row struct {
	id            string
	role, content string
	created       time.Time
	muted         bool
}

// ofUpstreams reads the replies to the calls of direct.Preprocess.
func ofUpstreams(replies map[string][]byte) (a answer, err error) {
	rows := func(name string) []row {
		list, e := searched(replies[name])
		if e != nil {
			err = errors.Join(err, fmt.Errorf("%s: %w", name, e))
		}
		return list
	}
	history := append(rows("history_user"), rows("history_assistant")...)
	slices.SortFunc(history, func(x, y row) int {
		return cmp.Or(x.created.Compare(y.created), -cmp.Compare(x.role, y.role), cmp.Compare(x.id, y.id))
	})
	for _, m := range history {
		a.History = append(a.History, [3]string{m.id, m.role, m.content})
	}
	for _, m := range rows("mute") {
		a.Muted = a.Muted || m.muted
	}
	for _, m := range rows("relevant") {
		a.Relevant = append(a.Relevant, m.id)
	}
	var names []struct {
		DisplayName string `json:"display_name"`
	}
	var fields map[string]any
	err = errors.Join(err, json.Unmarshal(replies["model_name"], &names), json.Unmarshal(replies["model_fields"], &fields))
	if len(names) != 1 {
		return a, errors.Join(err, fmt.Errorf("names of one model: %v", names))
	}
	a.Model, a.Fields = names[0].DisplayName, slices.Sorted(maps.Keys(fields))
	return a, err
}

// searched reads a reply of Weaviate.
func searched(reply []byte) (rows []row, err error) {
	var r pb.SearchReply
	if err := proto.Unmarshal(reply, &r); err != nil {
		return nil, err
	}
	for _, result := range r.GetResults() {
		value := result.GetProperties().GetNonRefProps().GetFields()
		m := row{
			id: result.GetMetadata().GetId(), role: value["role"].GetTextValue(), content: value["content"].GetTextValue(),
			muted: value["muted"].GetBoolValue(),
		}
		if at := value["created_at"].GetDateValue(); at != "" {
			if m.created, err = time.Parse(time.RFC3339, at); err != nil {
				return nil, err
			}
		}
		rows = append(rows, m)
	}
	return rows, nil
}
