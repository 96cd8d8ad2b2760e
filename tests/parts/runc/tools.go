//go:build tools

// Package runc pins the runc that starts the containers of the tests' node.
package runc

import (
	_ "github.com/opencontainers/runc"
)
