package weaviate

import "context"

func (c *Client) Check(ctx context.Context) error { return c.Ask(ctx) }
