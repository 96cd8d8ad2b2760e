//go:build tools

// Package registry pins the command that the tests run.
package registry

import _ "github.com/distribution/distribution/v3/cmd/registry"
