// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package rsynctest

import (
	"context"
	"fmt"
	"io"
	"net"
	"testing"
)

// Cut is a way to a server that breaks when the client has sent so many bytes: to both ends, the other is gone.
func Cut(t testing.TB, port int, after int64) *Listener {
	t.Helper()
	return listen(t, func(ctx context.Context, l *Listener, client *net.TCPConn) {
		server, err := (&net.Dialer{}).DialContext(ctx, "tcp", fmt.Sprintf("%s:%d", Host, port))
		if err != nil {
			fmt.Fprintln(l, err)
			return
		}
		defer server.Close()
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			_, _ = io.Copy(client, server)
		}()
		_, _ = io.CopyN(server, client, after)
		server.Close()
		client.Close()
		<-ended
	})
}
