// Command bare is the smallest extension: it registers, and waits for SHUTDOWN.
package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "bare:", err)
		os.Exit(1)
	}
}

func run() error {
	api := "http://" + os.Getenv("AWS_LAMBDA_RUNTIME_API") + "/2020-01-01/extension"
	header, _, err := call(http.MethodPost, api+"/register", `{"events":["SHUTDOWN"]}`, "Lambda-Extension-Name", filepath.Base(os.Args[0]))
	if err != nil {
		return err
	}
	for {
		const identifier = "Lambda-Extension-Identifier"
		_, event, err := call(http.MethodGet, api+"/event/next", "", identifier, header.Get(identifier))
		if err != nil || strings.Contains(event, `"SHUTDOWN"`) {
			return err
		}
	}
}

func call(method, url, body, headerName, headerValue string) (http.Header, string, error) {
	req, err := http.NewRequest(method, url, strings.NewReader(body)) //nolint:noctx // no timeout: it waits for as long as Lambda likes
	if err != nil {
		return nil, "", err
	}
	req.Header.Set(headerName, headerValue)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, "", err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s %s", url, resp.Status, answer)
	}
	return resp.Header, string(answer), err
}
