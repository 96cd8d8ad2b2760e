// Command hostsoracle answers, one JSON line for each on its standard input, which hosts
// containerd's own code finds for a registry in a folder such as certs.d.
package main

import (
	"bufio"
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"reflect"
	"sort"
	"time"
	"unsafe"

	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/containerd/containerd/v2/core/remotes/docker/config"
	"github.com/containerd/log"
)

type question struct {
	Op       string `json:"op"`
	Registry []byte `json:"registry"`
	Folder   []byte `json:"folder"`
	Text     []byte `json:"text"`
}

// Go's encoder would mend what is no UTF-8 in a string, so texts are bytes here.
type header struct {
	Name   []byte   `json:"name"`
	Values [][]byte `json:"values"`
}

type host struct {
	Scheme       []byte   `json:"scheme"`
	Host         []byte   `json:"host"`
	Path         []byte   `json:"path"`
	CanPull      bool     `json:"can_pull"`
	CanResolve   bool     `json:"can_resolve"`
	SkipVerify   bool     `json:"skip_verify"`
	TrustsMore   bool     `json:"trusts_more"`
	Certificates int      `json:"certificates"`
	FallBack     bool     `json:"fall_back"`
	Headers      []header `json:"headers"`
}

type hostsAnswer struct {
	Error string `json:"error,omitempty"`
	Hosts []host `json:"hosts"`
}

type durationAnswer struct {
	Error       string `json:"error,omitempty"`
	Nanoseconds int64  `json:"nanoseconds"`
}

func main() {
	// containerd logs the files that it refuses; here nobody reads that.
	log.L.Logger.SetOutput(io.Discard)

	lines := bufio.NewReader(os.Stdin)
	answers := json.NewEncoder(os.Stdout)
	for {
		line, err := lines.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return
		}
		if err == nil {
			err = answer(line, answers)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, "hostsoracle:", err)
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
	case "hosts":
		return answers.Encode(answerHosts(string(asked.Folder), string(asked.Registry)))
	case "duration":
		return answers.Encode(answerDuration(string(asked.Text)))
	}
	return fmt.Errorf("unknown op %q", asked.Op)
}

func answerDuration(text string) durationAnswer {
	duration, err := time.ParseDuration(text)
	if err != nil {
		return durationAnswer{Error: err.Error()}
	}
	return durationAnswer{Nanoseconds: duration.Nanoseconds()}
}

func answerHosts(folder, registry string) hostsAnswer {
	options := config.HostOptions{}
	if folder != "" {
		options.HostDir = config.HostDirFromRoot(folder)
	}
	found, err := config.ConfigureHosts(context.Background(), options)(registry)
	if err != nil {
		return hostsAnswer{Error: err.Error()}
	}
	system, err := x509.SystemCertPool()
	if err != nil {
		return hostsAnswer{Error: err.Error()}
	}
	got := hostsAnswer{Hosts: []host{}}
	for _, one := range found {
		transport, fallsBack := unwrapped(one.Client.Transport)
		tls := transport.TLSClientConfig
		got.Hosts = append(got.Hosts, host{
			Scheme:       []byte(one.Scheme),
			Host:         []byte(one.Host),
			Path:         []byte(one.Path),
			CanPull:      one.Capabilities.Has(docker.HostCapabilityPull),
			CanResolve:   one.Capabilities.Has(docker.HostCapabilityResolve),
			SkipVerify:   tls.InsecureSkipVerify,
			TrustsMore:   tls.RootCAs != nil && !tls.RootCAs.Equal(system),
			Certificates: len(tls.Certificates),
			FallBack:     fallsBack,
			Headers:      headers(one.Header),
		})
	}
	return got
}

// unwrapped looks behind docker.NewHTTPFallback, whose type is not exported.
func unwrapped(tripper http.RoundTripper) (*http.Transport, bool) {
	if transport, ok := tripper.(*http.Transport); ok {
		return transport, false
	}
	behind := reflect.ValueOf(tripper).Elem().FieldByName("super")
	behind = reflect.NewAt(behind.Type(), unsafe.Pointer(behind.UnsafeAddr())).Elem()
	return behind.Interface().(*http.Transport), true
}

// headers sorts by name: containerd keeps them in a map.
func headers(of http.Header) []header {
	sorted := []header{}
	for name, values := range of {
		one := header{Name: []byte(name), Values: [][]byte{}}
		for _, value := range values {
			one.Values = append(one.Values, []byte(value))
		}
		sorted = append(sorted, one)
	}
	sort.Slice(sorted, func(i, j int) bool { return string(sorted[i].Name) < string(sorted[j].Name) })
	return sorted
}
