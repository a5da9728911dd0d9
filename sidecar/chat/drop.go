package chat

// DropChat forgets what is held of a chat, and returns how many things that was. It waits for nothing. A chat that neither class can
// hold is a *[weaviate.ChatIDError].
func (s *Service) DropChat(spelled string) (dropped int, err error) {
	names := []string{spelled}
	if s.cfg.Weaviate != nil {
		if names, err = s.cfg.Weaviate.PossibleNames(spelled); err != nil {
			return 0, err
		}
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
