// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

// Command backup-operator makes backups of an appliance's volumes: as plain archives, kept up to a number, mirrored
// with rsync. One program is both the operator that turns BackupPolicies into CronJobs and the runner that those run;
// the runner works as well on plain directories without Kubernetes.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"appliance.io/backup-operator/internal/report"
	"github.com/spf13/cobra"
)

func main() {
	if status, done := supervise(os.Args); done {
		os.Exit(status)
	}
	becomeWorker()
	os.Exit(handOver(run()))
}

// run is the program from its arguments to its exit status.
func run() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// The first signal asks to stop in good order; a second one doesn't wait.
	context.AfterFunc(ctx, stop)

	err := newRootCommand().ExecuteContext(ctx)
	var status exitStatus
	switch {
	case err == nil:
		return report.ExitSucceeded
	case errors.As(err, &status):
		return int(status)
	}
	fmt.Fprintf(os.Stderr, "Error: %s\n", err)
	var usage *usageError
	if errors.As(err, &usage) {
		fmt.Fprintf(os.Stderr, "Run '%s --help' for what it takes.\n", usage.command)
		return report.ExitInvalid
	}
	return report.ExitFailed
}

// exitStatus is an error that has been told of already: it only carries the exit status.
type exitStatus int

func (s exitStatus) Error() string { return fmt.Sprintf("exit status %d", int(s)) }

// usageError is a command line that can't be understood. A retry can't help.
type usageError struct {
	command string
	err     error
}

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

func newRootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "backup-operator COMMAND",
		Short: "Backups of an appliance's volumes: plain archives, kept up to a number, mirrored with rsync",
		Example: `  # One backup of two directories, the newest 7 are kept
  backup-operator backup --policy orbit/appliance --source data=/src/data --source sessions=/src/sessions \
      --directory /backup/daily --prefix appliance --keep 7

  # What is there
  backup-operator list --directory /backup/daily`,
		DisableFlagsInUseLine: true,
		Args:                  unknownCommand,
		RunE:                  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		SilenceUsage:          true,
		SilenceErrors:         true,
	}
	root.CompletionOptions.HiddenDefaultCmd = true
	root.SetUsageTemplate(usageTemplate)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return &usageError{command: cmd.CommandPath(), err: err}
	})
	root.AddCommand(newOperatorCommand(), newBackupCommand(), newListCommand(), newRestoreCommand(), newVerifyCommand(),
		newVersionCommand())
	return root
}

// usageTemplate is cobra's with the examples first, because they are what most people look for.
const usageTemplate = `{{if .HasExample}}Examples:
{{.Example}}

{{end}}Usage:
  {{.UseLine}}{{if .HasAvailableSubCommands}}

Commands:{{range .Commands}}{{if .IsAvailableCommand}}
  {{rpad .Name .NamePadding}} {{.Short}}{{end}}{{end}}{{end}}{{if .HasAvailableLocalFlags}}

Flags:
{{.LocalFlags.FlagUsages | trimTrailingWhitespaces}}{{end}}{{if .HasAvailableSubCommands}}

"{{.CommandPath}} COMMAND --help" tells more of a command.{{end}}
`

// unknownCommand refuses arguments of the root command, which are commands that don't exist.
func unknownCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	return &usageError{command: cmd.CommandPath(), err: fmt.Errorf("there is no command %q", args[0])}
}

// noArguments refuses arguments of a command that only takes flags.
func noArguments(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	return &usageError{command: cmd.CommandPath(), err: fmt.Errorf("%q is not a flag: this command takes flags only", args[0])}
}
