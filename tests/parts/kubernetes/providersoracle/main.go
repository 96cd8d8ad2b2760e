// Command providersoracle tells, one JSON line for each on its standard input, what the kubelet's
// own code takes for the credentials of its node: the config.json or .dockercfg of a folder, and
// the exec plugins of a CredentialProviderConfig, which it runs.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"unsafe"

	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/klog/v2"
	"k8s.io/kubernetes/pkg/credentialprovider"
	"k8s.io/kubernetes/pkg/credentialprovider/plugin"
)

type question struct {
	// The folder where the kubelet's root directory would be; empty: no file.
	Folder string `json:"folder"`
	// A CredentialProviderConfig, a file or a folder, and the folder of the plugins; empty: none.
	Config string   `json:"config"`
	BinDir string   `json:"bin_dir"`
	Images []string `json:"images"`
}

type credential struct {
	Username string `json:"username"`
	Password string `json:"password"`
}

type answer struct {
	// Why the kubelet would not start.
	Error string `json:"error,omitempty"`
	// The credentials of each image, in the order in which they are tried.
	Images [][]credential `json:"images"`
}

// Plugins are registered for the life of a kubelet; each question here begins a new one.

//go:linkname registered k8s.io/kubernetes/pkg/credentialprovider/plugin.providers
var registered []struct {
	name string
	impl unsafe.Pointer
}

//go:linkname names k8s.io/kubernetes/pkg/credentialprovider/plugin.seenProviderNames
var names sets.String

func main() {
	// What the kubelet logs, nobody reads here.
	klog.SetSlogLogger(slog.New(slog.DiscardHandler))

	lines := bufio.NewReader(os.Stdin)
	answers := json.NewEncoder(os.Stdout)
	for {
		line, err := lines.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return
		}
		var asked question
		if err == nil {
			err = json.Unmarshal(line, &asked)
		}
		if err == nil {
			err = answers.Encode(answered(asked))
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, "providersoracle:", err)
			os.Exit(1)
		}
	}
}

func answered(asked question) answer {
	registered, names = nil, sets.NewString()
	if asked.Config != "" {
		err := plugin.RegisterCredentialProviderPlugins(asked.Config, asked.BinDir, nil, nil)
		if err != nil {
			return answer{Error: err.Error(), Images: [][]credential{}}
		}
	}
	// As NewImageManager's callers and its pull put them together, where no secret matches.
	keyring := credentialprovider.UnionDockerKeyring{
		node(asked.Folder),
		plugin.NewExternalCredentialProviderDockerKeyring("default", "pod", "uid", "default"),
	}
	got := answer{Images: [][]credential{}}
	for _, image := range asked.Images {
		found, _ := keyring.Lookup(image)
		tried := []credential{}
		for _, one := range found {
			tried = append(tried, credential{Username: one.Username, Password: one.Password})
		}
		got.Images = append(got.Images, tried)
	}
	return got
}

// node is the kubelet's default keyring, looking into one folder alone.
func node(folder string) credentialprovider.DockerKeyring {
	keyring := &credentialprovider.BasicDockerKeyring{}
	if folder == "" {
		return keyring
	}
	config, err := credentialprovider.ReadDockerConfigJSONFile([]string{folder})
	if err != nil {
		config, err = credentialprovider.ReadDockercfgFile([]string{folder})
	}
	if err == nil {
		keyring.Add(nil, config)
	}
	return keyring
}
