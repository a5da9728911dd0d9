package weaviate

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/weaviate/weaviate/entities/models"
)

// classInfo is what questions need to know of a class. After it is made, only the field written changes.
type classInfo struct {
	loader *classLoader
	name   string // the class's own name; a question uses the configured name, which may be an alias
	hidden bool   // the key may not read the schema: Hearth assumes that it made the class itself
	fault  *Error // why the class cannot be served; nil: it can be served

	chatID       idKind
	mixing       string // a tokenization by which a search for one chat may find others; empty: it finds none
	time         timeKind
	ranges       bool                    // the server can search for rows before a time
	written      atomic.Pointer[written] // how its rows write their time; nil: not known yet
	tenants      bool
	makesTenants bool // a write makes a tenant that is missing
	replicas     int64

	searchable bool     // bm25 works
	vector     string   // the vector to search by; empty: the unnamed one
	ambiguous  string   // why there is no such vector; empty: there is one
	vectorizer bool     // the server makes the vectors to search by
	made       []string // all vectors that the server makes; empty: the unnamed one
}

// Mixing says which classes a search for one chat finds other chats' objects in, and by which tokenization of the chat's property. A class that is
// not known yet is not among them.
func (c *Client) Mixing() map[string]string {
	found := map[string]string{}
	for _, l := range []*classLoader{c.message, c.mute} {
		if class := l.peek(); class != nil && class.mixing != "" {
			found[l.name] = class.mixing
		}
	}
	return found
}

func (c *classInfo) mayLag() bool { return c == nil || c.hidden || c.replicas > 1 }

func (c *Client) consistency(class *classInfo) string {
	if class.replicas > 1 {
		return c.cfg.Consistency
	}
	return ""
}

// use returns the class of a question that is about to be asked, or why it cannot be asked.
func (l *classLoader) use(ctx context.Context) (*classInfo, error) {
	class, err := l.load(ctx)
	if err != nil {
		return nil, err
	}
	if class.fault != nil {
		return nil, class.fault
	}
	return class, nil
}

// messageClass reads the schema of the class of messages; nil: it is hidden.
func (c *Client) messageClass(schema *models.Class) *classInfo {
	m := c.cfg.Message
	k := c.anyClass(c.message, m.Class, schema)
	k.searchable = true
	k.time, k.ranges = dateTime, true
	if m.CreatedAt == CreationTime {
		k.time, k.ranges = creationTime, false
	}
	if schema == nil {
		k.vector = c.cfg.Vector
		return k
	}
	p := properties{schema: schema, variable: "HEARTH_MESSAGE_FIELDS", order: "chat, role, content, time"}
	k.chatID, k.mixing = p.chatID(m.ChatID)
	p.want(m.Role, "text", "text")
	p.wantFilter(m.Role, "no messages of the user can be told from others")
	p.want(m.Content, "text", "text")
	if k.time != creationTime {
		k.time = p.timeOf(m.CreatedAt)
		k.ranges = k.time != textTime && p.filters(m.CreatedAt)
	}
	if content := p.find(m.Content); content != nil && content.IndexSearchable != nil {
		k.searchable = *content.IndexSearchable
	}
	k.fault = cmp.Or(p.fault, c.tenantFault(k))
	c.readVectors(k, schema)
	return k
}

// muteClass reads the schema of the class of mutes; nil: it is hidden.
func (c *Client) muteClass(schema *models.Class) *classInfo {
	u := c.cfg.Mute
	k := c.anyClass(c.mute, u.Class, schema)
	if schema == nil {
		return k
	}
	p := properties{schema: schema, variable: "HEARTH_MUTE_FIELDS", order: "chat, muted, until"}
	k.chatID, k.mixing = p.chatID(u.ChatID)
	p.want(u.Muted, "boolean", "boolean")
	if u.Until != "" {
		p.want(u.Until, "date", "date")
	}
	k.fault = cmp.Or(p.fault, c.tenantFault(k))
	return k
}

func (c *Client) anyClass(l *classLoader, name string, schema *models.Class) *classInfo {
	k := &classInfo{loader: l, name: name, hidden: schema == nil, tenants: c.cfg.Tenant != ""}
	if schema == nil {
		return k
	}
	schema.Properties = slices.DeleteFunc(schema.Properties, func(p *models.Property) bool { return p == nil }) // a null in JSON
	k.name = schema.Class
	k.tenants = hasTenants(schema)
	k.makesTenants = k.tenants && schema.MultiTenancyConfig.AutoTenantCreation
	if schema.ReplicationConfig != nil {
		k.replicas = schema.ReplicationConfig.Factor
	}
	return k
}

func (c *Client) tenantFault(k *classInfo) *Error {
	if k.tenants && c.cfg.Tenant == "" {
		return &Error{Status: http.StatusUnprocessableEntity, Message: fmt.Sprintf("class %s has multi-tenancy: set HEARTH_WEAVIATE_TENANT", k.name)}
	}
	return nil
}

// readVectors chooses the vector to search by: the configured one, or the only one.
func (c *Client) readVectors(k *classInfo, schema *models.Class) {
	named := slices.Sorted(maps.Keys(schema.VectorConfig))
	if schema.Vectorizer != "" && schema.Vectorizer != "none" {
		k.made = append(k.made, "")
	}
	for _, name := range named {
		modules, _ := schema.VectorConfig[name].Vectorizer.(map[string]any)
		if _, none := modules["none"]; len(modules) > 0 && !none {
			k.made = append(k.made, name)
		}
	}
	k.vector = c.cfg.Vector
	switch {
	case k.vector != "" && !slices.Contains(named, k.vector):
		k.ambiguous = fmt.Sprintf("class %s has no vector named %q, as HEARTH_WEAVIATE_VECTOR says: it has %s", k.name, k.vector, listed(named))
	case k.vector == "" && len(named) == 1 && schema.Vectorizer == "":
		k.vector = named[0]
	case k.vector == "" && len(named) > 0 && schema.Vectorizer == "":
		k.ambiguous = fmt.Sprintf("class %s has several vectors: set HEARTH_WEAVIATE_VECTOR to one of %s", k.name, listed(named))
	}
	k.vectorizer = k.ambiguous == "" && slices.Contains(k.made, k.vector)
}

// vectorizes says whether the server has to make a vector of a message, which may bring the one to search by.
func (c *classInfo) vectorizes(brought bool) bool {
	return slices.ContainsFunc(c.made, func(name string) bool { return !brought || name != c.vector })
}

// writing returns ctx for a write of objects of the class. brought: they bring the vector to search by.
func (c *classInfo) writing(ctx context.Context, brought bool) context.Context {
	if c.hidden || c.vectorizes(brought) {
		return withVectorizer(ctx)
	}
	return ctx
}

func listed(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}

// properties looks at the properties of a class. The first fault is kept.
type properties struct {
	schema   *models.Class
	variable string // that names the properties
	order    string // in which it names them
	fault    *Error
}

func (p *properties) find(name string) *models.Property {
	i := slices.IndexFunc(p.schema.Properties, func(o *models.Property) bool { return o.Name == name })
	if i < 0 {
		return nil
	}
	return p.schema.Properties[i]
}

// want returns the type of a property that must have one of these types.
func (p *properties) want(name, what string, types ...string) string {
	kind := ""
	found := p.find(name)
	if found != nil {
		kind = strings.Join(found.DataType, ",")
	}
	switch {
	case p.fault != nil:
	case found == nil:
		p.fault = wrongClass("class %s has no property %q: set %s (%s) to properties that it has: %s", p.schema.Class, name, p.variable, p.order, listed(p.names()))
	case !slices.Contains(types, kind):
		p.fault = wrongClass("class %s: property %q is of type %s, not %s: set %s (%s) to other properties, or use another class, as `hearth schema` makes them",
			p.schema.Class, name, kind, what, p.variable, p.order)
	}
	return kind
}

func (p *properties) names() (names []string) {
	for _, o := range p.schema.Properties {
		names = append(names, o.Name)
	}
	return names
}

func (p *properties) chatID(name string) (kind idKind, mixing string) {
	of := p.want(name, "text, uuid or int", "text", "uuid", "int")
	if p.fault != nil {
		return textID, ""
	}
	found := p.find(name)
	if of == "text" && found.Tokenization != "field" {
		mixing = found.Tokenization
	}
	p.wantFilter(name, "no chat can be found by it")
	return map[string]idKind{"uuid": uuidID, "int": intID}[of], mixing
}

// filters says whether rows can be found by a property. Texts are found by the index for bm25 too.
func (p *properties) filters(name string) bool {
	found := p.find(name)
	on := func(index *bool) bool { return index == nil || *index }
	return found != nil && (on(found.IndexFilterable) || slices.Equal(found.DataType, []string{"text"}) && on(found.IndexSearchable))
}

func (p *properties) wantFilter(name, otherwise string) {
	if p.fault == nil && !p.filters(name) {
		p.fault = wrongClass("class %s: property %q is not filterable (indexFilterable is false): %s", p.schema.Class, name, otherwise)
	}
}

func (p *properties) timeOf(name string) timeKind {
	kind := p.want(name, "date, int, number or text", "date", "int", "number", "text")
	return map[string]timeKind{"int": intTime, "number": numberTime, "text": textTime}[kind]
}
