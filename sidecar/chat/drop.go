package chat

import (
	"context"
	"errors"
	"slices"

	"hearth/pool/weaviate"
)

// DropChat forgets what is held of a chat, and returns how many things that was. A chat that neither class can hold is a
// *[weaviate.ChatIDError].
func (s *Service) DropChat(ctx context.Context, spelled string) (dropped int, err error) {
	names, err := s.chatNames(ctx, spelled)
	if err != nil {
		return 0, err
	}
	for _, name := range names {
		dropped += s.cfg.Cache.DropChat(name)
	}
	return dropped, nil
}

// DropModel forgets what is held of a model of Odoo, and returns how many things that was.
func (s *Service) DropModel(model string) (dropped int) { return s.cfg.Cache.DropModel(model) }

// DropAll forgets everything, and returns how many things that was.
func (s *Service) DropAll() (dropped int) { return s.cfg.Cache.DropAll() }

// chatNames are all names under which something of a chat may be held: its spelling, for what was held before the classes
// were known, and its name in each class.
func (s *Service) chatNames(ctx context.Context, spelled string) (names []string, err error) {
	refused := 0
	names = []string{spelled}
	for _, nameIn := range []func(context.Context, string) (string, error){s.messageChat, s.muteChat} {
		name, e := nameIn(ctx, spelled)
		if _, ok := errors.AsType[*weaviate.ChatIDError](e); ok {
			refused++
			err = e
		}
		if e == nil && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	if refused < 2 {
		err = nil
	}
	return names, err
}
