// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package faults

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// hanging is a file system that shows a directory and can stop answering. Who waits for it then waits in the kernel and
// can't even be killed, because a request that the server has read is waited for to the end.
type hanging struct {
	fuse.RawFileSystem
	hangs atomic.Pointer[func(request string) bool]
	met   sync.Once
	hung  chan struct{} // Closed when the first request hangs.
	free  chan struct{} // Closed when all are answered again.
}

// mountHanging mounts a file system that shows what is in directory below at another one.
func (b *bench) mountHanging(at, below string) *hanging {
	b.t.Helper()
	root, err := fs.NewLoopbackRoot(below)
	b.must(err)
	var never time.Duration // Nothing is cached: every look is a request.
	h := &hanging{
		RawFileSystem: fs.NewNodeFS(root, &fs.Options{EntryTimeout: &never, AttrTimeout: &never, NegativeTimeout: &never}),
		hung:          make(chan struct{}), free: make(chan struct{}),
	}
	h.hang(func(string) bool { return false })
	server, err := fuse.NewServer(h, at, &fuse.MountOptions{DirectMountStrict: true, EnableLocks: true, AllowOther: true})
	b.must(err)
	go server.Serve()
	b.must(server.WaitMount())
	b.t.Cleanup(func() {
		close(h.free)
		// What was left behind may still be busy with it.
		b.must(unix.Unmount(at, unix.MNT_DETACH))
	})
	return h
}

// hang makes requests of certain kinds go without an answer from now on.
func (h *hanging) hang(which func(request string) bool) { h.hangs.Store(&which) }

// on is called for each request.
func (h *hanging) on(request string) {
	if (*h.hangs.Load())(request) {
		h.met.Do(func() { close(h.hung) })
		<-h.free
	}
}

func (h *hanging) Lookup(c <-chan struct{}, header *fuse.InHeader, name string, out *fuse.EntryOut) fuse.Status {
	h.on("lookup")
	return h.RawFileSystem.Lookup(c, header, name, out)
}

func (h *hanging) GetAttr(c <-chan struct{}, in *fuse.GetAttrIn, out *fuse.AttrOut) fuse.Status {
	h.on("getattr")
	return h.RawFileSystem.GetAttr(c, in, out)
}

func (h *hanging) StatFs(c <-chan struct{}, in *fuse.InHeader, out *fuse.StatfsOut) fuse.Status {
	h.on("statfs")
	return h.RawFileSystem.StatFs(c, in, out)
}

func (h *hanging) OpenDir(c <-chan struct{}, in *fuse.OpenIn, out *fuse.OpenOut) fuse.Status {
	h.on("opendir")
	return h.RawFileSystem.OpenDir(c, in, out)
}

func (h *hanging) Open(c <-chan struct{}, in *fuse.OpenIn, out *fuse.OpenOut) fuse.Status {
	h.on("open")
	status := h.RawFileSystem.Open(c, in, out)
	throughUs(out)
	return status
}

func (h *hanging) Create(c <-chan struct{}, in *fuse.CreateIn, name string, out *fuse.CreateOut) fuse.Status {
	h.on("create")
	status := h.RawFileSystem.Create(c, in, name, out)
	throughUs(&out.OpenOut)
	return status
}

// throughUs keeps the kernel from reading and writing the file below by itself.
func throughUs(out *fuse.OpenOut) {
	out.OpenFlags &^= fuse.FOPEN_PASSTHROUGH
	out.BackingID = 0
}

func (h *hanging) Read(c <-chan struct{}, in *fuse.ReadIn, buf []byte) (fuse.ReadResult, fuse.Status) {
	h.on("read")
	return h.RawFileSystem.Read(c, in, buf)
}

func (h *hanging) Write(c <-chan struct{}, in *fuse.WriteIn, data []byte) (uint32, fuse.Status) {
	h.on("write")
	return h.RawFileSystem.Write(c, in, data)
}

func (h *hanging) Writev(c <-chan struct{}, in *fuse.WriteIn, data [][]byte) (uint32, fuse.Status) {
	h.on("write")
	return h.RawFileSystem.Writev(c, in, data)
}

func (h *hanging) Rename(c <-chan struct{}, in *fuse.RenameIn, from, to string) fuse.Status {
	h.on("rename")
	return h.RawFileSystem.Rename(c, in, from, to)
}

func (h *hanging) Unlink(c <-chan struct{}, header *fuse.InHeader, name string) fuse.Status {
	h.on("unlink")
	return h.RawFileSystem.Unlink(c, header, name)
}

func (h *hanging) SetLk(c <-chan struct{}, in *fuse.LkIn) fuse.Status {
	h.on("lock")
	return h.RawFileSystem.SetLk(c, in)
}

func (h *hanging) Fsync(c <-chan struct{}, in *fuse.FsyncIn) fuse.Status {
	h.on("fsync")
	return h.RawFileSystem.Fsync(c, in)
}

func (h *hanging) Flush(c <-chan struct{}, in *fuse.FlushIn) fuse.Status {
	h.on("close")
	return h.RawFileSystem.Flush(c, in)
}
