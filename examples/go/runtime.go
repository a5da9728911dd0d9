package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"time"
)

// serve asks Lambda for events and answers them, one at a time, until that fails: the least a runtime has to do.
func serve[E, R any](ctx context.Context, handle func(context.Context, E) (R, error)) error {
	api := "http://" + os.Getenv("AWS_LAMBDA_RUNTIME_API") + "/2018-06-01/runtime/invocation/"
	for {
		header, payload, err := call(ctx, http.MethodGet, api+"next", nil)
		if err != nil {
			return err
		}
		path := "/response"
		answer, err := invoke(ctx, header, payload, handle)
		if err != nil {
			path, answer = "/error", map[string]string{"errorMessage": err.Error(), "errorType": fmt.Sprintf("%T", err)}
		}
		body, err := json.Marshal(answer)
		if err != nil {
			return err
		}
		if _, _, err := call(ctx, http.MethodPost, api+header.Get("Lambda-Runtime-Aws-Request-Id")+path, body); err != nil {
			return err
		}
	}
}

func invoke[E, R any](ctx context.Context, header http.Header, payload []byte, handle func(context.Context, E) (R, error)) (any, error) {
	var e E
	if err := json.Unmarshal(payload, &e); err != nil {
		return nil, err
	}
	if ms, err := strconv.ParseInt(header.Get("Lambda-Runtime-Deadline-Ms"), 10, 64); err == nil {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, time.UnixMilli(ms))
		defer cancel()
	}
	return handle(ctx, e)
}

func call(ctx context.Context, method, url string, body []byte) (http.Header, []byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return nil, nil, err
	}
	resp, err := http.DefaultClient.Do(req) // no timeout: the next event may be hours away
	if err != nil {
		return nil, nil, err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode/100 != 2 {
		err = fmt.Errorf("%s: %s %s", url, resp.Status, answer)
	}
	return resp.Header, answer, err
}
