package odoo

// DefaultReads are the methods of every model that change nothing, so that asking twice is the same as asking once
// and the answer may be kept for a while. Every other method is taken for a write.
func DefaultReads() []string {
	return []string{
		"read", "search", "search_read", "search_count", "fields_get", "name_search", "read_group",
		"formatted_read_group", "web_search_read", "check_access_rights", "has_access", "context_get", "default_get",
	}
}

// IsRead says whether method is on the read list.
func (c *Client) IsRead(method string) bool { return c.reads[method] }
