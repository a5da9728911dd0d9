package client

import (
	"context"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Batch makes 1 to 100 calls of the API in one request, and returns their responses in the order of the requests. The calls run side by
// side: set b.MaxParallel to 1 if a call must see what the one before has written. A request without an ID gets its place in the list as
// its ID, from "0" on. [ChatPath] makes the paths of a chat's calls.
//
// If a call fails, [BatchResponse.Decode] returns its error, and the other calls go on. Batch itself returns an error if the batch as a
// whole was refused or not answered. Unless all calls are reads, the batch is sent once, and may then end in [ErrUnknownOutcome].
func (c *Client) Batch(ctx context.Context, b Batch, opts ...Option) ([]BatchResponse, error) {
	b.Requests = slices.Clone(b.Requests)
	writes := false
	for i := range b.Requests {
		if b.Requests[i].ID == "" {
			b.Requests[i].ID = strconv.Itoa(i)
		}
		writes = writes || mayWrite(b.Requests[i])
	}
	patience := c.cfg.Timeout
	if b.TimeoutMS > 0 {
		patience = time.Duration(b.TimeoutMS)*time.Millisecond + answerMargin
	}
	req, err := newCall(http.MethodPost, PathBatch, opts).withBody(b)
	if err != nil {
		return nil, err
	}
	req.write, req.neverRepeat, req.ownTimeout = writes, writes, b.TimeoutMS > 0
	var reply BatchReply
	if err := c.do(ctx, req, patience, &reply); err != nil {
		return nil, err
	}
	return reply.Responses, nil
}

// mayWrite says whether a call may change something.
func mayWrite(r BatchRequest) bool {
	path, _, _ := strings.Cut(r.Path, "?")
	return r.Method != http.MethodGet && r.Method != http.MethodHead && path != PathPreprocess && !strings.HasSuffix(path, "/relevant")
}

// ChatPath puts a chat's id into a path such as [PathHistory], as one encoded segment. It is for [BatchRequest]; the methods of Client
// take the id itself.
func ChatPath(path, chat string) (string, error) { return chatPath(path, chat) }
