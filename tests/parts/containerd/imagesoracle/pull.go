package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sort"
	"sync"

	api "github.com/containerd/containerd/api/services/introspection/v1"
	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/diff"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/images/usage"
	"github.com/containerd/containerd/v2/core/introspection"
	"github.com/containerd/containerd/v2/core/metadata"
	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/core/remotes"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/containerd/v2/core/transfer"
	transferimage "github.com/containerd/containerd/v2/core/transfer/image"
	"github.com/containerd/containerd/v2/core/transfer/local"
	"github.com/containerd/containerd/v2/core/unpack"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	contentlocal "github.com/containerd/containerd/v2/plugins/content/local"
	"github.com/containerd/errdefs"
	"github.com/containerd/platforms"
	digest "github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	bolt "go.etcd.io/bbolt"
)

const (
	reference   = "r.example.com/a/b:1"
	snapshotter = "memory"
)

type pullAnswer struct {
	// Where it failed: "pull", "config" or "record"; empty where it went through.
	Stage string `json:"stage"`
	Error string `json:"error,omitempty"`
	// The digests that were asked of the registry, sorted.
	Fetched []string `json:"fetched"`
}

// stores are containerd's own, isolated by a namespace for each question.
type stores struct {
	folder string
	bolt   *bolt.DB
	db     *metadata.DB
	asked  int
}

func newStores() (*stores, error) {
	folder, err := os.MkdirTemp("", "imagesoracle-")
	if err != nil {
		return nil, err
	}
	blobs, err := contentlocal.NewStore(filepath.Join(folder, "content"))
	if err != nil {
		return nil, err
	}
	file, err := bolt.Open(filepath.Join(folder, "meta.db"), 0o600, &bolt.Options{NoSync: true})
	if err != nil {
		return nil, err
	}
	db := metadata.NewDB(file, blobs, nil, metadata.WithPolicyIsolated)
	return &stores{folder: folder, bolt: file, db: db}, db.Init(context.Background())
}

func (s *stores) close() {
	s.bolt.Close()
	os.RemoveAll(s.folder)
}

func (s *stores) answerPull(asked question) pullAnswer {
	s.asked++
	ctx := namespaces.WithNamespace(context.Background(), fmt.Sprintf("question-%d", s.asked))
	registry := &registry{root: asked.Root, blobs: asked.Blobs}
	pull := s.transfer
	if asked.Local {
		pull = s.pull
	}
	got := pullAnswer{Stage: "pull"}
	target, err := pull(ctx, registry, asked.Node)
	if err == nil {
		got.Stage, err = s.record(ctx, target, platforms.Only(asked.Node))
	}
	if err != nil {
		got.Error = err.Error()
	}
	got.Fetched = registry.asked()
	return got
}

// transfer is pullImageWithTransferService of internal/cri/server/images.
func (s *stores) transfer(
	ctx context.Context, from *registry, node ocispec.Platform,
) (target ocispec.Descriptor, err error) {
	to := transferimage.NewStore(
		reference, transferimage.WithPlatforms(node), transferimage.WithUnpack(node, snapshotter),
	)
	service := local.NewTransferService(
		s.db.ContentStore(), metadata.NewImageStore(s.db), local.TransferConfig{
			UnpackPlatforms: []unpack.Platform{{
				Platform:       platforms.Only(node),
				SnapshotterKey: snapshotter,
				Snapshotter:    noSnapshots{},
				Applier:        s.applier(),
			}},
		},
	)
	if err := service.Transfer(ctx, fetching{from}, to); err != nil {
		return target, err
	}
	image, err := metadata.NewImageStore(s.db).Get(ctx, reference)
	return image.Target, err
}

// pull is pullImageWithLocalPull of internal/cri/server/images.
func (s *stores) pull(
	ctx context.Context, from *registry, node ocispec.Platform,
) (target ocispec.Descriptor, err error) {
	client, err := containerd.New("",
		containerd.WithDefaultPlatform(platforms.Only(node)),
		containerd.WithServices(
			containerd.WithContentStore(s.db.ContentStore()),
			containerd.WithImageStore(metadata.NewImageStore(s.db)),
			containerd.WithLeasesService(metadata.NewLeaseManager(s.db)),
			containerd.WithDiffService(s.applier()),
			containerd.WithSnapshotters(map[string]snapshots.Snapshotter{snapshotter: noSnapshots{}}),
			containerd.WithIntrospectionService(noIntrospection{}),
		),
	)
	if err != nil {
		return target, err
	}
	image, err := client.Pull(ctx, reference, containerd.WithResolver(resolving{from}),
		containerd.WithPullSnapshotter(snapshotter), containerd.WithPullUnpack)
	if err != nil {
		return target, err
	}
	return image.Target(), nil
}

// record is what CRIImageService.PullImage does after the pull, and getImage of
// internal/cri/store/image within it.
func (s *stores) record(
	ctx context.Context, target ocispec.Descriptor, node platforms.MatchComparer,
) (string, error) {
	store := s.db.ContentStore()
	if _, err := images.Config(ctx, store, target, node); err != nil {
		return "config", fmt.Errorf("get image config descriptor: %w", err)
	}
	image := images.Image{Name: reference, Target: target}
	if _, err := image.RootFS(ctx, store, node); err != nil {
		return "record", fmt.Errorf("get image diffIDs: %w", err)
	}
	_, err := usage.CalculateImageUsage(
		ctx, image, store, usage.WithManifestLimit(node, 1), usage.WithManifestUsage(),
	)
	if err != nil {
		return "record", fmt.Errorf("get image compressed resource size: %w", err)
	}
	config, err := image.Config(ctx, store, node)
	if err != nil {
		return "record", fmt.Errorf("get image config descriptor: %w", err)
	}
	blob, err := content.ReadBlob(ctx, store, config)
	if err != nil {
		return "record", fmt.Errorf("read image config from content store: %w", err)
	}
	var spec ocispec.Image
	if err := json.Unmarshal(blob, &spec); err != nil {
		return "record", fmt.Errorf("unmarshal image config: %w", err)
	}
	return "", nil
}

func (s *stores) applier() applier { return applier{store: s.db.ContentStore()} }

// registry serves from memory, and remembers what it was asked.
type registry struct {
	root  ocispec.Descriptor
	blobs map[string][]byte

	lock    sync.Mutex
	fetched map[string]bool
}

func (r *registry) String() string { return reference }

func (r *registry) asked() []string {
	asked := []string{}
	for one := range r.fetched {
		asked = append(asked, one)
	}
	sort.Strings(asked)
	return asked
}

func (r *registry) Fetch(_ context.Context, wanted ocispec.Descriptor) (io.ReadCloser, error) {
	r.lock.Lock()
	defer r.lock.Unlock()
	if r.fetched == nil {
		r.fetched = map[string]bool{}
	}
	r.fetched[wanted.Digest.String()] = true
	blob, found := r.blobs[wanted.Digest.String()]
	if !found {
		return nil, fmt.Errorf("could not fetch content descriptor: %w", errdefs.ErrNotFound)
	}
	return io.NopCloser(bytes.NewReader(blob)), nil
}

// As the transfer service asks it …
type fetching struct{ *registry }

func (r *registry) resolve() (string, ocispec.Descriptor, error) { return reference, r.root, nil }

// … and as the client does: the two interfaces give Resolve and Fetcher different types.
type resolving struct{ *registry }

func (r fetching) Resolve(context.Context) (string, ocispec.Descriptor, error) { return r.resolve() }

func (r fetching) Fetcher(context.Context, string) (transfer.Fetcher, error) {
	return r.registry, nil
}

func (r resolving) Resolve(context.Context, string) (string, ocispec.Descriptor, error) {
	return r.resolve()
}

func (r resolving) Fetcher(context.Context, string) (remotes.Fetcher, error) {
	return r.registry, nil
}

func (r resolving) Pusher(context.Context, string) (remotes.Pusher, error) {
	return nil, errdefs.ErrNotImplemented
}

// applier goes through containerd's own processors and digests what comes out of them.
type applier struct {
	containerd.DiffService
	store content.Provider
}

func (a applier) Apply(
	ctx context.Context, layer ocispec.Descriptor, _ []mount.Mount, _ ...diff.ApplyOpt,
) (ocispec.Descriptor, error) {
	reader, err := a.store.ReaderAt(ctx, layer)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	defer reader.Close()
	processor := diff.NewProcessorChain(layer.MediaType, content.NewReader(reader))
	for {
		if processor, err = diff.GetProcessor(ctx, processor, nil); err != nil {
			return ocispec.Descriptor{}, fmt.Errorf("failed to get stream processor: %w", err)
		}
		if processor.MediaType() == ocispec.MediaTypeImageLayer {
			break
		}
	}
	defer processor.Close()
	made, err := digest.FromReader(processor)
	return ocispec.Descriptor{MediaType: ocispec.MediaTypeImageLayer, Digest: made}, err
}

// noSnapshots is a node's snapshotter before the first image: nothing is there, nothing is kept.
type noSnapshots struct{ snapshots.Snapshotter }

func (noSnapshots) Stat(context.Context, string) (snapshots.Info, error) {
	return snapshots.Info{}, errdefs.ErrNotFound
}

func (noSnapshots) Prepare(
	context.Context, string, string, ...snapshots.Opt,
) ([]mount.Mount, error) {
	return nil, nil
}

func (noSnapshots) Commit(context.Context, string, string, ...snapshots.Opt) error { return nil }

func (noSnapshots) Remove(context.Context, string) error { return nil }

type noIntrospection struct{ introspection.Service }

func (noIntrospection) Plugins(context.Context, ...string) (*api.PluginsResponse, error) {
	return &api.PluginsResponse{Plugins: []*api.Plugin{{}}}, nil
}

func sortStable(places []int, less func(one, other int) bool) {
	sort.SliceStable(places, func(i, j int) bool { return less(places[i], places[j]) })
}
