// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

// Package availability tests two replicas of the operator, the program itself: one is killed, or the API server goes
// away, and nothing is lost or done twice.
package availability

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"appliance.io/backup-operator/test/controlplane"
)

// leaseDuration is short, so that the tests are, and long enough for a leader on a slow machine to renew its lease within
// two thirds of it: one that can't ends.
const leaseDuration = 15 * time.Second

// program is the path of the program under test.
var program string

func TestMain(m *testing.M) { os.Exit(buildAndRun(m)) }

func buildAndRun(m *testing.M) int {
	dir, err := os.MkdirTemp("", "availability")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	program = filepath.Join(dir, "backup-operator")
	if out, err := exec.Command("go", "build", "-o", program, "../..").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build the program: %v\n%s", err, out)
		return 1
	}
	return controlplane.Run(m)
}

// replica is one operator.
type replica struct {
	command *exec.Cmd
	probes  string
	ended   chan struct{}
}

// startReplica starts an operator that works in one namespace and reaches the API server by way of the wire.
func startReplica(t *testing.T, w *wire, namespace string) *replica {
	t.Helper()
	log, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	r := &replica{probes: freeAddress(t), ended: make(chan struct{})}
	r.command = exec.Command(program, "operator", "--runner-image=test", "--watch-namespaces="+namespace,
		"--leader-elect", "--leader-elect-namespace="+namespace, "--leader-elect-lease-duration="+leaseDuration.String(),
		"--health-probe-bind-address="+r.probes)
	r.command.Env = append(os.Environ(), "KUBECONFIG="+w.kubeconfig(t))
	r.command.Stderr = log
	if err := r.command.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		// How it ends is for the tests to see.
		_ = r.command.Wait()
		close(r.ended)
	}()
	t.Cleanup(func() {
		r.kill()
		if said, err := os.ReadFile(log.Name()); err == nil && t.Failed() {
			t.Logf("the replica at %s said:\n%s", r.probes, said)
		}
	})
	return r
}

// kill ends the replica as a node that goes down does.
func (r *replica) kill() {
	// It may have ended by itself.
	_ = r.command.Process.Kill()
	<-r.ended
}

func (r *replica) hasEnded() bool {
	select {
	case <-r.ended:
		return true
	default:
		return false
	}
}

// ready asks the replica as the kubelet does.
func (r *replica) ready() error {
	response, err := http.Get("http://" + r.probes + "/readyz?verbose")
	if err != nil {
		return err
	}
	defer response.Body.Close()
	said, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("readyz says %s: %s", response.Status, said)
	}
	return nil
}

func freeAddress(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

// wire is a way to the API server that can be cut.
type wire struct {
	address, server string
	mu              sync.Mutex
	listener        net.Listener
	open            []net.Conn
}

func newWire(t *testing.T) *wire {
	t.Helper()
	server, err := url.Parse(controlplane.Config.Host)
	if err != nil {
		t.Fatal(err)
	}
	if server.Host == "" {
		server.Host = controlplane.Config.Host
	}
	w := &wire{address: freeAddress(t), server: server.Host}
	w.join(t)
	t.Cleanup(w.cut)
	return w
}

// join lets connections through.
func (w *wire) join(t *testing.T) {
	t.Helper()
	listener, err := net.Listen("tcp", w.address)
	if err != nil {
		t.Fatal(err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.listener = listener
	go func() {
		for {
			near, err := listener.Accept()
			if err != nil {
				return // It was cut.
			}
			w.connect(listener, near)
		}
	}()
}

func (w *wire) connect(listener net.Listener, near net.Conn) {
	far, err := net.Dial("tcp", w.server)
	w.mu.Lock()
	defer w.mu.Unlock()
	if err != nil || w.listener != listener {
		near.Close()
		return
	}
	w.open = append(w.open, near, far)
	for _, ends := range [][2]net.Conn{{near, far}, {far, near}} {
		go func() {
			// Either end may end at any time.
			_, _ = io.Copy(ends[0], ends[1])
			ends[0].Close()
			ends[1].Close()
		}()
	}
}

// cut ends all connections and refuses others, as a machine does whose API server is not running.
func (w *wire) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.listener != nil {
		w.listener.Close()
		w.listener = nil
	}
	for _, c := range w.open {
		c.Close()
	}
	w.open = nil
}

// kubeconfig writes a kubeconfig that leads to the API server by way of the wire.
func (w *wire) kubeconfig(t *testing.T) string {
	t.Helper()
	config := controlplane.Config
	const name = "test"
	path := filepath.Join(t.TempDir(), "kubeconfig")
	err := clientcmd.WriteToFile(clientcmdapi.Config{
		Clusters: map[string]*clientcmdapi.Cluster{name: {
			Server: "https://" + w.address, CertificateAuthorityData: config.CAData, TLSServerName: "localhost",
		}},
		AuthInfos: map[string]*clientcmdapi.AuthInfo{name: {
			ClientCertificateData: config.CertData, ClientKeyData: config.KeyData,
		}},
		Contexts:       map[string]*clientcmdapi.Context{name: {Cluster: name, AuthInfo: name}},
		CurrentContext: name,
	}, path)
	if err != nil {
		t.Fatal(err)
	}
	return path
}
