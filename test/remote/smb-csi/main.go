// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

// Command smb-csi mounts SMB shares for pods: the node part of a CSI driver,
// and of that only what inline volumes need. Tests run it under the name
// smb.csi.k8s.io, in the place of the driver that is known by that name, on
// nodes that can pull no image.
//
// The kubelet that asks it, the CIFS client of the kernel, mount.cifs and the
// SMB server are the real ones. What this program must get right itself is the
// contract of csi-driver-smb for inline volumes: the attributes source,
// secretName and mountOptions, and that the driver reads the Secret itself,
// from the pod's namespace. That driver looks at no nodePublishSecretRef; nor
// does this one.
package main

import (
	"context"
	"flag"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	registration "k8s.io/kubelet/pkg/apis/pluginregistration/v1"
)

const driverName = "smb.csi.k8s.io"

func main() {
	kubelet := flag.String("kubelet", "/var/lib/kubelet", "the kubelet's directory")
	node := flag.String("node", "", "this node's name")
	kubeconfig := flag.String("kubeconfig", "", "a kubeconfig in JSON, with all data inline, of a user who may read Secrets")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *kubelet, *node, *kubeconfig); err != nil {
		slog.Error("The driver ended", "error", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, kubelet, node, kubeconfig string) error {
	secrets, err := newSecretReader(kubeconfig)
	if err != nil {
		return err
	}
	endpoint := filepath.Join(kubelet, "plugins", driverName, "csi.sock")
	driver := grpc.NewServer()
	csi.RegisterIdentityServer(driver, identity{})
	csi.RegisterNodeServer(driver, &nodeServer{id: node, secrets: secrets, mounter: system{}})

	registrar := grpc.NewServer()
	registration.RegisterRegistrationServer(registrar, registrationServer{endpoint: endpoint})

	group, ctx := errgroup.WithContext(ctx)
	// The driver listens before the kubelet is told where.
	driverSocket, err := listen(endpoint)
	if err != nil {
		return err
	}
	registrarSocket, err := listen(filepath.Join(kubelet, "plugins_registry", driverName+"-reg.sock"))
	if err != nil {
		return err
	}
	group.Go(func() error { return driver.Serve(driverSocket) })
	group.Go(func() error { return registrar.Serve(registrarSocket) })
	group.Go(func() error {
		<-ctx.Done()
		registrar.Stop()
		driver.GracefulStop()
		return nil
	})
	return group.Wait()
}

// listen makes a socket, in the place of one that an earlier process left.
func listen(path string) (net.Listener, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		return nil, err
	}
	if err := os.Remove(path); err != nil && !os.IsNotExist(err) {
		return nil, err
	}
	return net.Listen("unix", path)
}
