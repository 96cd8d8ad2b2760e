// Command oracle answers, one JSON line for each on its standard input, what the kubelet's and
// containerd's own code make of an image reference and of a pod's pull secrets.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"os"
	"reflect"
	"strings"

	"github.com/distribution/reference"
	v1 "k8s.io/api/core/v1"
	"k8s.io/klog/v2"
	"k8s.io/kubernetes/pkg/credentialprovider"
	"k8s.io/kubernetes/pkg/credentialprovider/secrets"
	"k8s.io/kubernetes/pkg/util/parsers"
)

type question struct {
	Op         string   `json:"op"`
	Image      string   `json:"image"`
	Repository string   `json:"repository"`
	Secrets    []secret `json:"secrets"`
	Type       string   `json:"type"`
	Data       []byte   `json:"data"`
}

type secret struct {
	Name string            `json:"name"`
	Type string            `json:"type"`
	Data map[string][]byte `json:"data"`
}

type referenceAnswer struct {
	Error      string `json:"error,omitempty"`
	Domain     string `json:"domain"`
	Path       string `json:"path"`
	Repository string `json:"repository"`
	Tag        string `json:"tag"`
	Digest     string `json:"digest"`
	Requested  string `json:"requested"`
	Pulled     string `json:"pulled"`
	Host       string `json:"host"`
	// What containerd says only when it splits the host off to dial it.
	AddressError string `json:"address_error,omitempty"`
}

type credential struct {
	Username string  `json:"username"`
	Password string  `json:"password"`
	Secret   *string `json:"secret"`
}

type keyringAnswer struct {
	Error       string       `json:"error,omitempty"`
	Matched     bool         `json:"matched"`
	Credentials []credential `json:"credentials"`
}

type authsAnswer struct {
	Error string   `json:"error,omitempty"`
	Keys  []string `json:"keys"`
}

func main() {
	// The kubelet logs the entries that it drops; here nobody reads that.
	klog.SetSlogLogger(slog.New(slog.DiscardHandler))

	lines := bufio.NewReader(os.Stdin)
	answers := json.NewEncoder(os.Stdout)
	answers.SetEscapeHTML(false)
	for {
		line, err := lines.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return
		}
		if err == nil {
			err = answer(line, answers)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, "oracle:", err)
			os.Exit(1)
		}
	}
}

func answer(line []byte, answers *json.Encoder) error {
	var asked question
	if err := json.Unmarshal(line, &asked); err != nil {
		return err
	}
	switch asked.Op {
	case "reference":
		return answers.Encode(answerReference(asked.Image))
	case "keyring":
		return answers.Encode(answerKeyring(asked))
	case "auths":
		return answers.Encode(answerAuths(asked.Type, asked.Data))
	}
	return fmt.Errorf("unknown op %q", asked.Op)
}

func answerReference(image string) referenceAnswer {
	repository, tag, digest, err := parsers.ParseImageName(image)
	if err != nil {
		return referenceAnswer{Error: err.Error()}
	}
	named, err := reference.ParseNormalizedNamed(image)
	if err != nil {
		return referenceAnswer{Error: err.Error()}
	}
	requested := withDefaultTag(image, tag, digest)
	got := referenceAnswer{
		Domain:     reference.Domain(named),
		Path:       reference.Path(named),
		Repository: repository,
		Tag:        tag,
		Digest:     digest,
		Requested:  requested,
	}
	pulled, err := reference.ParseDockerRef(requested)
	if err != nil {
		got.Error = err.Error()
		return got
	}
	got.Pulled = pulled.String()
	got.Host, err = dialled(got.Pulled)
	if err != nil {
		got.AddressError = err.Error()
	}
	return got
}

// withDefaultTag is applyDefaultImageTag of k8s.io/kubernetes/pkg/kubelet/images, which is not
// exported.
func withDefaultTag(image, tag, digest string) string {
	if len(digest) == 0 && len(tag) > 0 && !strings.HasSuffix(image, ":"+tag) {
		return image + ":" + tag
	}
	return image
}

// dialled is how containerd's pkg/reference finds the host in what is pulled.
func dialled(pulled string) (string, error) {
	if strings.Contains(pulled, "://") {
		return "", errors.New("invalid reference")
	}
	parsed, err := url.Parse("dummy://" + pulled)
	if err != nil {
		return "", err
	}
	if parsed.Host == "" {
		return "", errors.New("hostname required")
	}
	return parsed.Host, nil
}

func answerKeyring(asked question) keyringAnswer {
	repository := asked.Repository
	if repository == "" {
		var err error
		if repository, _, _, err = parsers.ParseImageName(asked.Image); err != nil {
			return keyringAnswer{Error: err.Error(), Credentials: []credential{}}
		}
	}
	var passed []v1.Secret
	for _, given := range asked.Secrets {
		one := v1.Secret{Type: v1.SecretType(given.Type), Data: given.Data}
		one.Name = given.Name
		passed = append(passed, one)
	}
	// The node itself has no credentials here.
	keyring, err := secrets.MakeDockerKeyring(passed, credentialprovider.UnionDockerKeyring{})
	if err != nil {
		return keyringAnswer{Error: err.Error(), Credentials: []credential{}}
	}
	found, matched := keyring.Lookup(repository)
	got := keyringAnswer{Matched: matched, Credentials: []credential{}}
	for _, one := range found {
		entry := credential{Username: one.Username, Password: one.Password}
		if one.Source != nil && one.Source.Secret != nil {
			entry.Secret = &one.Source.Secret.Name
		}
		got.Credentials = append(got.Credentials, entry)
	}
	return got
}

func answerAuths(kind string, data []byte) authsAnswer {
	var auths credentialprovider.DockerConfig
	var err error
	if kind == string(v1.SecretTypeDockercfg) {
		err = json.Unmarshal(data, &auths)
	} else {
		config := credentialprovider.DockerConfigJSON{}
		err = json.Unmarshal(data, &config)
		auths = config.Auths
	}
	if err != nil {
		return authsAnswer{Error: err.Error(), Keys: []string{}}
	}
	keyring := &credentialprovider.BasicDockerKeyring{}
	keyring.Add(nil, auths)
	// The index is not exported, but its strings can be read.
	index := reflect.ValueOf(keyring).Elem().FieldByName("index")
	keys := []string{}
	for i := range index.Len() {
		keys = append(keys, index.Index(i).String())
	}
	return authsAnswer{Keys: keys}
}
