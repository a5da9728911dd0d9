package odoo

// DefaultReads are the methods that change nothing, in whatever model, so that asking twice is the same as asking once
// and the answer may be kept for a while. Every other method is taken for a write. The list was checked against all models
// of Odoo 14 and 19.
//
// Some methods that look like reads are missing because a model may write in them: default_get and onchange draw numbers
// from sequences and create records (stock.lot, crm.lead), export_data creates external ids, web_read may fetch and store
// (iap.account), get_access_action makes tokens.
func DefaultReads() []string {
	return []string{
		// records
		"read", "search", "search_read", "search_count", "name_get", "name_search", "read_group", "formatted_read_group",
		"formatted_read_grouping_sets", "web_search_read", "web_read_group", "web_name_search", "read_progress_bar",
		"get_metadata", "get_external_id", "get_field_translations", "check_object_reference", "get_object_reference",
		"xmlid_to_res_id",
		// definitions
		"fields_get", "fields_view_get", "load_views", "get_view", "get_views", "display_name_for",
		"search_panel_select_range", "search_panel_select_multi_range",
		// rights
		"check_access_rights", "check_access_rule", "check_field_access_rights", "has_access", "has_group", "has_groups",
		"user_has_groups",
		// settings
		"context_get", "get_param", "get_installed",
	}
}

// IsRead says whether method is on the read list.
func (c *Client) IsRead(method string) bool { return c.reads[method] }
