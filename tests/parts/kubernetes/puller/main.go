// Command puller pulls images as the kubelet does, one for each JSON line on its standard input:
// the kubelet's own reading of the name and of the pod's secrets, then one CRI PullImage for each
// credential that matches, until one succeeds. Lines are worked on side by side; each answer is
// one JSON line, in the order in which they end.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	v1 "k8s.io/api/core/v1"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
	"k8s.io/klog/v2"
	"k8s.io/kubernetes/pkg/credentialprovider"
	"k8s.io/kubernetes/pkg/credentialprovider/secrets"
	"k8s.io/kubernetes/pkg/util/parsers"
)

type task struct {
	ID       string   `json:"id"`
	Image    string   `json:"image"`
	Endpoint string   `json:"endpoint"`
	Secrets  []secret `json:"secrets"`
	// Leaves the image where it was pulled to.
	Keep bool `json:"keep"`
}

type secret struct {
	Name string            `json:"name"`
	Type string            `json:"type"`
	Data map[string][]byte `json:"data"`
}

type failure struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

type answer struct {
	ID    string `json:"id"`
	Pull  string `json:"pull"`
	Stage string `json:"stage"`
	// How many credentials matched.
	Matched int `json:"matched"`
	// What each credential was told, in the kubelet's order; one entry where there is none.
	Errors  []failure `json:"errors"`
	Seconds float64   `json:"seconds"`
}

type runtimes struct {
	sync.Mutex
	known map[string]*grpc.ClientConn
}

func main() {
	limit := flag.Duration("timeout", 3*time.Minute, "how long one PullImage may take")
	flag.Parse()
	// The kubelet logs the entries that it drops; here nobody reads that.
	klog.SetSlogLogger(slog.New(slog.DiscardHandler))

	if err := serve(*limit); err != nil {
		fmt.Fprintln(os.Stderr, "puller:", err)
		os.Exit(1)
	}
}

func serve(limit time.Duration) error {
	lines := bufio.NewReader(os.Stdin)
	answers := json.NewEncoder(os.Stdout)
	answers.SetEscapeHTML(false)
	dialled := &runtimes{known: map[string]*grpc.ClientConn{}}
	var writing sync.Mutex
	var working sync.WaitGroup
	defer working.Wait()
	for {
		line, err := lines.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		var given task
		if err := json.Unmarshal(line, &given); err != nil {
			return err
		}
		working.Go(func() {
			began := time.Now()
			got := work(given, dialled, limit)
			got.ID = given.ID
			got.Seconds = time.Since(began).Seconds()
			writing.Lock()
			defer writing.Unlock()
			_ = answers.Encode(got)
		})
	}
}

func work(given task, dialled *runtimes, limit time.Duration) answer {
	image, repository, err := named(given.Image)
	if err != nil {
		return failed("parse", failure{Code: "InvalidImageName", Message: err.Error()})
	}
	credentials, err := matching(repository, given.Secrets)
	if err != nil {
		return failed("keyring", failure{Code: "Keyring", Message: err.Error()})
	}
	service, err := dialled.service(given.Endpoint)
	if err != nil {
		return failed("harness", failure{Code: "Harness", Message: err.Error()})
	}
	if given.Keep {
		service = keeper{service}
	}
	got := pull(service, image, credentials, limit)
	got.Matched = len(credentials)
	return got
}

// named is what EnsureImageExists of k8s.io/kubernetes/pkg/kubelet/images makes of an image: its
// applyDefaultImageTag, which is not exported, and the repository that the keyring is asked for.
func named(image string) (string, string, error) {
	repository, tag, digest, err := parsers.ParseImageName(image)
	if err != nil {
		return "", "", err
	}
	if len(digest) == 0 && len(tag) > 0 && !strings.HasSuffix(image, ":"+tag) {
		image += ":" + tag
	}
	return image, repository, nil
}

func matching(repository string, given []secret) ([]credentialprovider.TrackedAuthConfig, error) {
	var passed []v1.Secret
	for _, one := range given {
		made := v1.Secret{Type: v1.SecretType(one.Type), Data: one.Data}
		made.Name = one.Name
		passed = append(passed, made)
	}
	// The node itself has no credentials here.
	keyring, err := secrets.MakeDockerKeyring(passed, credentialprovider.UnionDockerKeyring{})
	if err != nil {
		return nil, err
	}
	found, _ := keyring.Lookup(repository)
	return found, nil
}

// pull is PullImage of k8s.io/kubernetes/pkg/kubelet/kuberuntime: every error leads to the next
// credential.
func pull(
	service cri.ImageServiceClient,
	image string,
	credentials []credentialprovider.TrackedAuthConfig,
	limit time.Duration,
) answer {
	auths := []*cri.AuthConfig{}
	for _, one := range credentials {
		auths = append(auths, &cri.AuthConfig{
			Username:      one.Username,
			Password:      one.Password,
			Auth:          one.Auth,
			ServerAddress: one.ServerAddress,
			IdentityToken: one.IdentityToken,
			RegistryToken: one.RegistryToken,
		})
	}
	if len(auths) == 0 {
		auths = append(auths, nil)
	}
	spec := &cri.ImageSpec{Image: image}
	var told []failure
	for _, auth := range auths {
		err := pullOnce(service, spec, auth, limit)
		if err == nil {
			return answer{Pull: "ok", Stage: "pull", Errors: []failure{}}
		}
		told = append(told, failure{
			Code:    status.Code(err).String(),
			Message: status.Convert(err).Message(),
		})
	}
	return failed("pull", told...)
}

func pullOnce(
	service cri.ImageServiceClient, spec *cri.ImageSpec, auth *cri.AuthConfig, limit time.Duration,
) error {
	within, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	_, err := service.PullImage(within, &cri.PullImageRequest{Image: spec, Auth: auth})
	if err != nil {
		return err
	}
	// The next case must find an empty node; a pull that succeeded stays one.
	_, _ = service.RemoveImage(within, &cri.RemoveImageRequest{Image: spec})
	return nil
}

// keeper removes nothing.
type keeper struct{ cri.ImageServiceClient }

func (keeper) RemoveImage(
	context.Context, *cri.RemoveImageRequest, ...grpc.CallOption,
) (*cri.RemoveImageResponse, error) {
	return &cri.RemoveImageResponse{}, nil
}

func failed(stage string, told ...failure) answer {
	return answer{Pull: "fails", Stage: stage, Errors: told}
}

func (r *runtimes) service(endpoint string) (cri.ImageServiceClient, error) {
	r.Lock()
	defer r.Unlock()
	connection := r.known[endpoint]
	if connection == nil {
		var err error
		connection, err = grpc.NewClient(
			endpoint, grpc.WithTransportCredentials(insecure.NewCredentials()),
		)
		if err != nil {
			return nil, err
		}
		r.known[endpoint] = connection
	}
	return cri.NewImageServiceClient(connection), nil
}
