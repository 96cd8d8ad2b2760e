// Command proxyoracle answers, one JSON line for each on its standard input, what containerd's
// HTTP client does on the wire: which proxy it takes, what it makes of a server's certificate,
// and how it reads an answer.
package main

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"time"

	"github.com/containerd/containerd/v2/core/remotes/docker"
	"golang.org/x/net/http/httpproxy"
)

type question struct {
	Op      string `json:"op"`
	HTTPS   string `json:"https"`
	HTTP    string `json:"http"`
	NoProxy string `json:"no_proxy"`
	URL     string `json:"url"`
	Method  string `json:"method"`
	// For tls: whom to dial, the name that is wanted, and the authorities in PEM.
	Address string `json:"address"`
	Name    string `json:"name"`
	Roots   string `json:"roots"`
}

type answer struct {
	Error string `json:"error,omitempty"`
	// For proxy: what is dialled; empty where the request goes directly.
	Scheme string  `json:"scheme,omitempty"`
	Host   string  `json:"host,omitempty"`
	Port   string  `json:"port,omitempty"`
	User   *string `json:"user,omitempty"`
	Pass   string  `json:"pass,omitempty"`
	Proxy  bool    `json:"proxy"`
	// For tls: the kind of the error.
	Kind string `json:"kind,omitempty"`
	// For http: what came back.
	Status  int         `json:"status,omitempty"`
	Headers http.Header `json:"headers,omitempty"`
	Body    string      `json:"body,omitempty"`
	Cut     bool        `json:"cut,omitempty"`
}

func proxy(q question) answer {
	target, err := url.Parse(q.URL)
	if err != nil {
		return answer{Error: err.Error()}
	}
	config := httpproxy.Config{HTTPSProxy: q.HTTPS, HTTPProxy: q.HTTP, NoProxy: q.NoProxy}
	got, err := config.ProxyFunc()(target)
	if err != nil {
		return answer{Error: err.Error()}
	}
	if got == nil {
		return answer{}
	}
	said := answer{Proxy: true, Scheme: got.Scheme, Host: got.Hostname(), Port: got.Port()}
	if got.User != nil {
		name := got.User.Username()
		said.User = &name
		said.Pass, _ = got.User.Password()
	}
	return said
}

func shake(q question) answer {
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(q.Roots))
	config := &tls.Config{RootCAs: roots, ServerName: q.Name}
	conn, err := tls.Dial("tcp", q.Address, config)
	if err == nil {
		// What a server refuses of TLS 1.3 shows only here.
		conn.SetReadDeadline(time.Now().Add(2 * time.Second))
		fmt.Fprintf(conn, "GET / HTTP/1.0\r\n\r\n")
		_, err = conn.Read(make([]byte, 1))
		conn.Close()
	}
	if err == nil {
		return answer{}
	}
	return answer{Error: err.Error(), Kind: kind(err)}
}

func kind(err error) string {
	var unknown x509.UnknownAuthorityError
	var host x509.HostnameError
	var invalid x509.CertificateInvalidError
	switch {
	case errors.As(err, &host):
		return "certificate-wrong-name"
	case errors.As(err, &unknown):
		return "certificate-unknown-authority"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return "certificate-expired"
	}
	return "tls-failing"
}

func ask(q question) answer {
	transport := docker.DefaultHTTPTransport(nil)
	transport.Proxy = nil
	defer transport.CloseIdleConnections()
	request, err := http.NewRequest(q.Method, q.URL, nil)
	if err != nil {
		return answer{Error: err.Error()}
	}
	response, err := transport.RoundTrip(request)
	if err != nil {
		return answer{Error: err.Error()}
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	said := answer{Status: response.StatusCode, Headers: response.Header, Body: string(body)}
	if errors.Is(err, io.ErrUnexpectedEOF) {
		said.Cut = true
	} else if err != nil {
		said.Error = err.Error()
	}
	return said
}

func main() {
	ops := map[string]func(question) answer{"proxy": proxy, "tls": shake, "http": ask}
	lines := bufio.NewReader(os.Stdin)
	out := json.NewEncoder(os.Stdout)
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			return
		}
		var q question
		if err := json.Unmarshal(line, &q); err != nil {
			out.Encode(answer{Error: err.Error()})
			continue
		}
		out.Encode(ops[q.Op](q))
	}
}
