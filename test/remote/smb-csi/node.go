// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"log/slog"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// secretReader reads a Secret's data.
type secretReader interface {
	read(ctx context.Context, namespace, name string) (map[string][]byte, error)
}

// mounter mounts a share at a directory and unmounts it; both are done again
// without harm.
type mounter interface {
	mount(ctx context.Context, s share, target string) error
	unmount(ctx context.Context, target string) error
}

// nodeServer mounts inline volumes on this node.
type nodeServer struct {
	csi.UnimplementedNodeServer
	id      string
	secrets secretReader
	mounter mounter
}

func (n *nodeServer) NodeGetInfo(context.Context, *csi.NodeGetInfoRequest) (*csi.NodeGetInfoResponse, error) {
	return &csi.NodeGetInfoResponse{NodeId: n.id}, nil
}

func (n *nodeServer) NodeGetCapabilities(context.Context, *csi.NodeGetCapabilitiesRequest) (*csi.NodeGetCapabilitiesResponse, error) {
	return &csi.NodeGetCapabilitiesResponse{}, nil
}

func (n *nodeServer) NodePublishVolume(ctx context.Context, request *csi.NodePublishVolumeRequest) (*csi.NodePublishVolumeResponse, error) {
	volume, err := parseVolume(request.GetVolumeContext())
	if err != nil {
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}
	mounted := share{source: volume.source, options: volume.options}
	if !volume.guest() {
		data, err := n.secrets.read(ctx, volume.namespace, volume.secretName)
		if err != nil {
			return nil, status.Errorf(codes.Internal, "reading the Secret %s/%s: %v", volume.namespace, volume.secretName, err)
		}
		mounted.login = parseLogin(data)
	}
	if err := n.mounter.mount(ctx, mounted, request.GetTargetPath()); err != nil {
		return nil, status.Error(codes.Internal, err.Error())
	}
	slog.Info("Mounted", "source", mounted.source, "options", mounted.options, "target", request.GetTargetPath())
	return &csi.NodePublishVolumeResponse{}, nil
}

func (n *nodeServer) NodeUnpublishVolume(ctx context.Context, request *csi.NodeUnpublishVolumeRequest) (*csi.NodeUnpublishVolumeResponse, error) {
	if err := n.mounter.unmount(ctx, request.GetTargetPath()); err != nil {
		return nil, status.Error(codes.Internal, err.Error())
	}
	slog.Info("Unmounted", "target", request.GetTargetPath())
	return &csi.NodeUnpublishVolumeResponse{}, nil
}
