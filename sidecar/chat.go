package sidecar

import (
	"context"
	"errors"
	"slices"

	"hearth/pool/weaviate"
)

// messageChat returns the one name of a chat in the class of messages, however the caller spells it.
func (s *Server) messageChat(ctx context.Context, spelled string) (string, error) {
	if s.cfg.Weaviate == nil {
		return "", s.notConfigured("weaviate", s.cfg.NoWeaviate)
	}
	return s.cfg.Weaviate.MessageChat(ctx, spelled)
}

// muteChat is messageChat of the class of mutes.
func (s *Server) muteChat(ctx context.Context, spelled string) (string, error) {
	if s.cfg.Weaviate == nil {
		return "", s.notConfigured("weaviate", s.cfg.NoWeaviate)
	}
	return s.cfg.Weaviate.MuteChat(ctx, spelled)
}

// chatNames are all names under which something of a chat may be held. A name that neither class can hold is an error.
func (s *Server) chatNames(ctx context.Context, spelled string) (names []string, err error) {
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
