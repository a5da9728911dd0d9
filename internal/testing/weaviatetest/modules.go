package weaviatetest

import (
	"errors"
	"fmt"
	"hash/fnv"
	"maps"
	"net/http"
	"slices"
	"strings"
)

// module is a vectorizer that takes its key from the request.
type module struct {
	header, variable string
	name             string // in front of errors about the key
	panics           bool   // in a batch write without the key
}

var modules = map[string]module{ //nolint:gochecknoglobals // never changed
	"text2vec-openai":   {"X-Openai-Api-Key", "OPENAI_APIKEY", "API Key", true},
	"text2vec-cohere":   {"X-Cohere-Api-Key", "COHERE_APIKEY", "Cohere API Key", false},
	"text2vec-jinaai":   {"X-Jinaai-Api-Key", "JINAAI_APIKEY", "API Key", true},
	"text2vec-voyageai": {"X-VoyageAI-Api-Key", "VOYAGEAI_APIKEY", "VoyageAI API Key", true},
	"text2vec-mistral":  {"X-Mistral-Api-Key", "MISTRAL_APIKEY", "Mistral API Key", true},
}

func (s *Server) moduleInfo() map[string]any {
	info := map[string]any{}
	for _, name := range s.cfg.Modules {
		info[name] = map[string]any{"name": name}
	}
	return info
}

// vectorizer is the name of the module that makes a vector, "none" without one.
func (c *class) vectorizer(target string) string {
	if c.VectorConfig == nil {
		return c.Vectorizer
	}
	for name := range c.VectorConfig[target].Vectorizer {
		return name
	}
	return "none"
}

// targets are the names of the class's vectors; "" is the one without a name.
func (c *class) targets() []string {
	if c.VectorConfig == nil {
		return []string{""}
	}
	return slices.Sorted(maps.Keys(c.VectorConfig))
}

func (c *class) hasModule(target string) bool { return c.vectorizer(target) != "none" }

func (c *class) vectorizeQuery(target string, header http.Header, texts []string) ([]float32, error) {
	v, err := modules[c.vectorizer(target)].vectorize(header, strings.Join(texts, " "))
	if err != nil {
		return nil, fmt.Errorf("remote client vectorize: %w", err)
	}
	return v, nil
}

// vectorize makes a vector of what a text is made of, the same for the same text: what shares words is near.
func (m module) vectorize(header http.Header, text string) ([]float32, error) {
	if header.Get(m.header) == "" {
		return nil, fmt.Errorf("%s: no api key found neither in request header: %s nor in environment variable under %s", m.name, m.header, m.variable)
	}
	v := make([]float32, 64)
	v[0] = 0.01 // a text without words has a vector, too
	for _, word := range words(text) {
		h := fnv.New32a()
		_, _ = h.Write([]byte(word))
		v[h.Sum32()%uint32(len(v))]++
	}
	return v, nil
}

// vectorizeObject gives o the vectors that it has not and that modules make: of all its texts, in the order of the
// class's properties. It names the vector that failed.
func (c *class) vectorizeObject(o *Object, header http.Header) (failed string, err error) {
	var texts []string
	for _, p := range c.Properties {
		if text, ok := o.Properties[p.Name].(string); ok && p.kind() == "text" {
			texts = append(texts, text)
		}
	}
	for _, target := range c.targets() {
		if !c.hasModule(target) || len(o.vector(target)) > 0 {
			continue
		}
		v, err := modules[c.vectorizer(target)].vectorize(header, strings.Join(texts, " "))
		if err != nil {
			return target, err
		}
		o.setVector(target, v)
	}
	return "", nil
}

// vectorizeOne is vectorizeObject outside of a batch.
func (c *class) vectorizeOne(o *Object, header http.Header) error {
	if target, err := c.vectorizeObject(o, header); err != nil {
		return fmt.Errorf("vectorize target vector %s: update vector: %w", target, err)
	}
	return nil
}

// vectorizeAgain makes the vectors anew that modules make.
func (c *class) vectorizeAgain(o *Object, header http.Header) error {
	for _, target := range c.targets() {
		if c.hasModule(target) {
			o.setVector(target, nil)
		}
	}
	return c.vectorizeOne(o, header)
}

// vectorizeBatch is vectorizeObject for all of a batch that are of one class. Most modules panic without a key, and then
// even those objects fail that brought a vector.
func (c *class) vectorizeBatch(objects []*Object, header http.Header) []error {
	faults := make([]error, len(objects))
	panicked := false
	for i, o := range objects {
		_, faults[i] = c.vectorizeObject(o, header)
		panicked = panicked || faults[i] != nil && c.panics()
	}
	if panicked {
		for i := range faults {
			faults[i] = errors.New("panic occurred: runtime error: invalid memory address or nil pointer dereference")
		}
	}
	return faults
}

func (c *class) panics() bool {
	return slices.ContainsFunc(c.targets(), func(target string) bool { return modules[c.vectorizer(target)].panics })
}
