package odoo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
)

// ValidLang says whether s can be the code of one of Odoo's languages, such as es, es_ES or sr@latin.
func ValidLang(s string) bool {
	return regexp.MustCompile(`^[a-z]{2,3}(_([A-Z]{2}|[0-9]{3}))?(@[A-Za-z]+)?$`).MatchString(s)
}

// inLanguage returns the call with a language in its context. A context that has the key lang stays as it is, even if its value
// is false.
func (c Call) inLanguage(lang string) (_ Call, added bool) {
	named := map[string]json.RawMessage{}
	if raw := c.Kwargs["context"]; raw != nil && (json.Unmarshal(raw, &named) != nil || named == nil) {
		return c, false // no object: Odoo refuses it
	}
	if _, given := named["lang"]; given || lang == "" {
		return c, false
	}
	var err error
	if named["lang"], err = json.Marshal(lang); err != nil {
		return c, false
	}
	object, err := json.Marshal(named)
	if err != nil {
		return c, false
	}
	c.Kwargs = maps.Clone(c.Kwargs)
	if c.Kwargs == nil {
		c.Kwargs = map[string]json.RawMessage{}
	}
	c.Kwargs["context"] = object
	return c, true
}

// refusedLanguage returns an error that names Hearth's setting, if Odoo refused a call because of the language that Hearth added. If
// that was the user's own language, the user has another language now: the next call asks for it.
func (c *Client) refusedLanguage(err error, s *session) error {
	e, ok := errors.AsType[*Error](err)
	if !ok || e.Message != "Invalid language code: "+s.state.Lang {
		return err
	}
	unknown := unknownLanguage(s.state.Lang)
	if c.cfg.Lang == "" {
		c.session.CompareAndSwap(s, nil)
		unknown.Retryable = true
	}
	return unknown
}

// languageActive checks that the configured language is active. If it is not, Odoo 14 answers in English and reports no error.
func (c *Client) languageActive(ctx context.Context) error {
	quoted, err := json.Marshal(c.cfg.Lang)
	if err != nil {
		return err
	}
	n, err := c.call(ctx, Call{Model: "res.lang", Method: "search_count", Kwargs: map[string]json.RawMessage{
		"domain": fmt.Appendf(nil, `[["code","=",%s]]`, quoted),
	}}, true)
	if err == nil && string(n) == "0" {
		return unknownLanguage(c.cfg.Lang)
	}
	return err
}

// user is what Odoo tells of its user's own context.
type user struct {
	UID  int
	Lang string
}

// readUser reads the answer of context_get. What is missing, false or of another type is left out.
func readUser(own json.RawMessage) (u user) {
	var fields struct{ UID, Lang json.RawMessage }
	if json.Unmarshal(own, &fields) != nil {
		return u
	}
	_ = json.Unmarshal(fields.UID, &u.UID) // Odoo 19 and later
	if lang := jsonString(fields.Lang); ValidLang(lang) {
		u.Lang = lang
	}
	return u
}
