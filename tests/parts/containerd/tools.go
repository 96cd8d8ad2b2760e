//go:build tools

// Package containerd pins the containerd that the tests run, and the packages their oracle asks.
package containerd

import (
	_ "github.com/containerd/containerd/v2/cmd/containerd"
	_ "github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2"
	_ "github.com/containerd/containerd/v2/core/images"
	_ "github.com/containerd/containerd/v2/core/remotes/docker/auth"
	_ "github.com/containerd/containerd/v2/core/remotes/docker/config"
	_ "github.com/containerd/platforms"
	_ "golang.org/x/net/http/httpproxy"
)
