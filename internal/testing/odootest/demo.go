package odootest

import (
	"strings"
	"time"
)

func now() string { return time.Now().UTC().Format(time.DateTime) }

// add stores a record under the next id, with what every new one has.
func (m *model) add(r record) {
	m.last++
	r["id"] = m.last
	for name, usual := range map[string]any{"active": true, "type": "contact", "create_date": now(), "write_date": now()} {
		if _, ok := m.field(name); ok && r[name] == nil {
			r[name] = usual
		}
	}
	m.records[m.last] = r
}

func demo(cfg Config) map[string]*model {
	id := field{Name: "id", Label: "ID", Type: "integer", ReadOnly: true}
	shown := field{Name: "display_name", Label: "Display Name", Type: "char", ReadOnly: true}
	name := field{Name: "name", Label: "Name", Type: "char"}
	email := field{Name: "email", Label: "Email", Type: "char"}
	active := field{Name: "active", Label: "Active", Type: "boolean"}
	created := field{Name: "create_date", Label: "Created on", Type: "datetime", ReadOnly: true}
	written := field{Name: "write_date", Label: "Last Updated on", Type: "datetime", ReadOnly: true}

	partner := &model{name: "res.partner", label: "Contact", order: "name, id desc", fields: []field{
		id, shown, name, email, active, created, written,
		{Name: "phone", Label: "Phone", Type: "char"},
		{Name: "is_company", Label: "Is a Company", Type: "boolean"},
		{Name: "type", Label: "Address Type", Type: "selection", Selection: [][]string{
			{"contact", "Contact"}, {"invoice", "Invoice"}, {"delivery", "Delivery"}, {"other", "Other"},
		}},
		{Name: "parent_id", Label: "Related Company", Type: "many2one", Relation: "res.partner"},
		{Name: "user_id", Label: "Salesperson", Type: "many2one", Relation: "res.users"},
		{Name: "category_id", Label: "Tags", Type: "many2many", Relation: "res.partner.category"},
		{Name: "comment", Label: "Notes", Type: "html"},
	}}
	users := &model{name: "res.users", label: "User", order: "name, login", fields: []field{
		id, shown, name, email, active, created,
		{Name: "login", Label: "Login", Type: "char", Required: true},
		{Name: "partner_id", Label: "Related Partner", Type: "many2one", Relation: "res.partner", Required: true},
		{Name: "lang", Label: "Language", Type: "selection", Selection: [][]string{{"en_US", "English (US)"}, {"es_ES", "Spanish / Español"}}},
	}}
	irModel := &model{name: "ir.model", label: "Models", order: "model", fields: []field{
		id, shown,
		{Name: "name", Label: "Model Description", Type: "char", Required: true},
		{Name: "model", Label: "Model", Type: "char", Required: true},
	}}
	parameters := &model{name: "ir.config_parameter", label: "System Parameter", order: "key", fields: []field{
		id, shown,
		{Name: "key", Label: "Key", Type: "char", Required: true},
		{Name: "value", Label: "Value", Type: "text", Required: true},
	}}
	languages := &model{name: "res.lang", label: "Languages", order: "active desc,name", fields: []field{
		id, shown, name, active,
		{Name: "code", Label: "Locale Code", Type: "char", Required: true},
	}}
	all := map[string]*model{}
	for _, m := range []*model{partner, users, irModel, parameters, languages} {
		m.records = map[int64]record{}
		all[m.name] = m
	}
	for _, m := range []*model{irModel, partner, users, parameters, languages} {
		irModel.add(record{"name": m.label, "model": m.name})
	}
	partner.add(record{"name": "YourCompany", "email": "info@yourcompany.com", "is_company": true})
	partner.add(record{"name": "OdooBot", "email": "odoobot@example.com", "active": false})
	partner.add(record{"name": "Mitchell Admin", "email": "admin@yourcompany.example.com", "parent_id": int64(1)})
	acme := "Acme Corporation"
	for _, who := range []string{acme, "Addison Olson", "Douglas Fletcher", "Floyd Steward", "Nicole Ford"} {
		r := record{"name": who, "is_company": who == acme, "email": strings.ReplaceAll(strings.ToLower(who), " ", ".") + "@example.com"}
		if who == "Addison Olson" {
			r["parent_id"] = int64(4)
		}
		partner.add(r)
	}
	users.last = int64(cfg.UID) - 1
	users.add(record{"name": "Mitchell Admin", "login": cfg.Login, "email": "admin@yourcompany.example.com", "partner_id": int64(3), "lang": cfg.Lang})
	parameters.add(record{"key": "web.base.url", "value": "http://localhost:8069"})
	languages.add(record{"name": "English (US)", "code": "en_US"})
	languages.add(record{"name": "Spanish / Español", "code": "es_ES"})
	return all
}
