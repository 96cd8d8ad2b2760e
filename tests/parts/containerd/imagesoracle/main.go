// Command imagesoracle answers, one JSON line for each on its standard input, what containerd's own
// packages make of platforms and of the documents of an image: its transfer service or its client
// pulls them from memory into its own content and metadata stores. Only layers are not unpacked.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/containerd/log"
	"github.com/containerd/platforms"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/sirupsen/logrus"
)

type question struct {
	Op string `json:"op"`

	Text     string             `json:"text"`
	Node     ocispec.Platform   `json:"node"`
	Offered  []ocispec.Platform `json:"offered"`
	Document []byte             `json:"document"`
	Struct   string             `json:"struct"`

	Root  ocispec.Descriptor `json:"root"`
	Blobs map[string][]byte  `json:"blobs"`
	Local bool               `json:"local"`
}

type parseAnswer struct {
	Error    string           `json:"error,omitempty"`
	Platform ocispec.Platform `json:"platform"`
}

type matchAnswer struct {
	Chosen  []bool `json:"chosen"`
	Fetched []bool `json:"fetched"`
	// The places in what was asked, the preferred first.
	Order []int `json:"order"`
}

type decodeAnswer struct {
	Error string `json:"error,omitempty"`
	// The document as containerd would write it anew.
	Decoded json.RawMessage `json:"decoded,omitempty"`
}

func main() {
	logrus.SetOutput(io.Discard)
	_ = log.SetLevel("panic")
	// Without the folder's removal nothing but a temporary file system is filled.
	node, err := newStores()
	if err != nil {
		fail(err)
	}
	defer node.close()

	lines := bufio.NewReader(os.Stdin)
	answers := json.NewEncoder(os.Stdout)
	answers.SetEscapeHTML(false)
	for {
		line, err := lines.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return
		}
		if err == nil {
			err = answer(node, line, answers)
		}
		if err != nil {
			node.close()
			fail(err)
		}
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "imagesoracle:", err)
	os.Exit(1)
}

func answer(node *stores, line []byte, answers *json.Encoder) error {
	var asked question
	if err := json.Unmarshal(line, &asked); err != nil {
		return err
	}
	switch asked.Op {
	case "parse":
		return answers.Encode(answerParse(asked.Text))
	case "match":
		return answers.Encode(answerMatch(asked.Node, asked.Offered))
	case "decode":
		return answers.Encode(answerDecode(asked.Struct, asked.Document))
	case "pull":
		return answers.Encode(node.answerPull(asked))
	}
	return fmt.Errorf("unknown op %q", asked.Op)
}

func answerParse(text string) parseAnswer {
	platform, err := platforms.Parse(text)
	if err != nil {
		return parseAnswer{Error: err.Error()}
	}
	return parseAnswer{Platform: platform}
}

func answerMatch(node ocispec.Platform, offered []ocispec.Platform) matchAnswer {
	only, ordered := platforms.Only(node), platforms.Ordered(node)
	var got matchAnswer
	for at, one := range offered {
		got.Chosen = append(got.Chosen, only.Match(one))
		got.Fetched = append(got.Fetched, ordered.Match(one))
		got.Order = append(got.Order, at)
	}
	sortStable(got.Order, func(one, other int) bool { return only.Less(offered[one], offered[other]) })
	return got
}

func answerDecode(into string, document []byte) decodeAnswer {
	var value any
	switch into {
	case "manifest":
		value = &ocispec.Manifest{}
	case "index":
		value = &ocispec.Index{}
	case "platform":
		value = &ocispec.Platform{}
	case "image":
		value = &ocispec.Image{}
	default:
		// Only whether it is JSON: it may nest too deep for who asks.
		value = &struct{}{}
		var any json.RawMessage
		if err := json.Unmarshal(document, &any); err != nil {
			return decodeAnswer{Error: err.Error()}
		}
		document = []byte("{}")
	}
	if err := json.Unmarshal(document, value); err != nil {
		return decodeAnswer{Error: err.Error()}
	}
	if image, ok := value.(*ocispec.Image); ok {
		// Go reads times that it does not write.
		image.Created, image.History = nil, nil
	}
	decoded, err := json.Marshal(value)
	if err != nil {
		return decodeAnswer{Error: err.Error()}
	}
	return decodeAnswer{Decoded: decoded}
}
