package weaviatetest

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
)

// alias is another name of a class.
type alias struct {
	Alias string `json:"alias"`
	Class string `json:"class"`
}

// realNameLocked gives the name of the class that a name or an alias means. The first letter's case does not count.
func (s *Server) realNameLocked(name string) string {
	name = upperFirst(name)
	if class, ok := s.aliases[name]; ok {
		return class
	}
	return name
}

func (s *Server) listAliases(w http.ResponseWriter, r *http.Request, _ []string) error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	of, list := r.URL.Query().Get("class"), []alias{}
	for _, name := range slices.Sorted(maps.Keys(s.aliases)) {
		a := alias{name, s.aliases[name]}
		if (of == "" || of == a.Class) && s.may(r, "read_aliases", aliasOf(a.Class, a.Alias)) == nil {
			list = append(list, a)
		}
	}
	reply(w, http.StatusOK, map[string]any{"aliases": list})
	return nil
}

func (s *Server) addAlias(w http.ResponseWriter, r *http.Request, _ []string) error {
	var a alias
	if err := readBody(r, &a); err != nil {
		return err
	}
	a.Alias, a.Class = upperFirst(a.Alias), upperFirst(a.Class)
	if err := s.may(r, "create_aliases", aliasOf(a.Class, a.Alias)); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case !className.MatchString(a.Alias):
		return refuse(http.StatusUnprocessableEntity, fmt.Sprintf("validation: '%s' is not a valid alias name", a.Alias))
	case s.classes[a.Class] == nil:
		return refuse(http.StatusUnprocessableEntity, fmt.Sprintf("validation: target class %q does not exist", a.Class))
	case s.aliases[a.Alias] != "":
		return refuse(http.StatusUnprocessableEntity,
			"validation: updating schema: TYPE_CREATE_ALIAS: create alias: "+a.Alias+", alias already exists")
	case s.classes[a.Alias] != nil:
		return refuse(http.StatusInternalServerError,
			"updating schema: TYPE_CREATE_ALIAS: create alias: class "+a.Alias+" already exists")
	}
	s.aliases[a.Alias] = a.Class
	reply(w, http.StatusOK, a)
	return nil
}

func (s *Server) getAlias(w http.ResponseWriter, r *http.Request, args []string) error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	name := upperFirst(args[0])
	class, ok := s.aliases[name]
	if !ok {
		return errNotFound
	}
	if err := s.may(r, "read_aliases", aliasOf(class, name)); err != nil {
		return err
	}
	reply(w, http.StatusOK, alias{name, class})
	return nil
}

func (s *Server) moveAlias(w http.ResponseWriter, r *http.Request, args []string) error {
	var to alias
	if err := readBody(r, &to); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	name, class := upperFirst(args[0]), upperFirst(to.Class)
	if s.aliases[name] == "" {
		return errNotFound
	}
	if err := s.may(r, "update_aliases", aliasOf(class, name)); err != nil {
		return err
	}
	if s.classes[class] == nil {
		return refuse(http.StatusUnprocessableEntity, fmt.Sprintf("validation: target class %q does not exist", class))
	}
	s.aliases[name] = class
	reply(w, http.StatusOK, alias{name, class})
	return nil
}

func (s *Server) deleteAlias(w http.ResponseWriter, r *http.Request, args []string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	name := upperFirst(args[0])
	if s.aliases[name] == "" {
		return errNotFound
	}
	if err := s.may(r, "delete_aliases", aliasOf(s.aliases[name], name)); err != nil {
		return err
	}
	delete(s.aliases, name)
	w.WriteHeader(http.StatusNoContent)
	return nil
}
