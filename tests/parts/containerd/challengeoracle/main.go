// Command challengeoracle answers, one JSON line for each on its standard input, how containerd
// reads the WWW-Authenticate lines of one answer. Texts are base64, since they hold any octets.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/http"
	"os"

	"github.com/containerd/containerd/v2/core/remotes/docker/auth"
)

type question struct {
	Lines [][]byte `json:"lines"`
}

type parameter struct {
	Name  []byte `json:"name"`
	Value []byte `json:"value"`
}

type challenge struct {
	Scheme     string      `json:"scheme"`
	Parameters []parameter `json:"parameters"`
}

type answer struct {
	Challenges []challenge `json:"challenges"`
}

var schemes = map[auth.AuthenticationScheme]string{
	auth.BasicAuth:  "BASIC",
	auth.DigestAuth: "DIGEST",
	auth.BearerAuth: "BEARER",
}

func read(q question) answer {
	header := http.Header{}
	for _, line := range q.Lines {
		header.Add("WWW-Authenticate", string(line))
	}
	said := answer{Challenges: []challenge{}}
	for _, found := range auth.ParseAuthHeader(header) {
		one := challenge{Scheme: schemes[found.Scheme], Parameters: []parameter{}}
		for name, value := range found.Parameters {
			one.Parameters = append(one.Parameters, parameter{[]byte(name), []byte(value)})
		}
		said.Challenges = append(said.Challenges, one)
	}
	return said
}

func main() {
	in := bufio.NewReader(os.Stdin)
	out := json.NewEncoder(os.Stdout)
	for {
		line, err := in.ReadBytes('\n')
		if len(line) == 0 && err != nil {
			return
		}
		var q question
		if err := json.Unmarshal(line, &q); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		if err := out.Encode(read(q)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
}
