// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"fmt"
	"hash/fnv"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/robfig/cron/v3"

	backupv1alpha1 "appliance.io/backup-operator/api/v1alpha1"
)

// Schedule is when a policy's backups run.
type Schedule struct {
	// Line is the cron line for the CronJob, with a value for each H.
	Line string
	// location is where its hours are meant.
	location *time.Location
	cron     cron.Schedule
}

// scheduleError is what is wrong with a schedule, as a condition tells it.
type scheduleError struct{ reason, message string }

// cronField is what H may stand for in one field of a cron line, from https://www.jenkins.io/doc/book/pipeline/syntax/
// under "Jenkins cron syntax". Days of the month end at 28, so that every month has the day.
type cronField struct {
	name     string
	min, max int
}

var cronFields = []cronField{
	{"minute", 0, 59}, {"hour", 0, 23}, {"day of month", 1, 28}, {"month", 1, 12}, {"day of week", 0, 6},
}

// hash is H, H(a-b), H/n or H(a-b)/n.
var hash = regexp.MustCompile(`^H(?:\((\d{1,4})-(\d{1,4})\))?(?:/(\d{1,4}))?$`)

// parseSchedule reads a schedule as a CronJob takes it, and H besides. The value of an H is derived from the seed, the
// policy's namespace and name, and from the field that it stands in, so it is the same on each call and in each cluster.
func parseSchedule(schedule, timeZone, seed string) (*Schedule, *scheduleError) {
	invalid := func(format string, args ...any) *scheduleError {
		return &scheduleError{backupv1alpha1.ReasonInvalidSchedule, fmt.Sprintf("schedule %q: ", schedule) +
			fmt.Sprintf(format, args...)}
	}
	if strings.Contains(schedule, "TZ") {
		return nil, invalid("a time zone doesn't belong here: set timeZone instead")
	}
	location := time.UTC
	if timeZone != "" {
		var err error
		if location, err = loadLocation(timeZone); err != nil || noTimeZone.MatchString(timeZone) {
			return nil, &scheduleError{backupv1alpha1.ReasonInvalidTimeZone, fmt.Sprintf(
				"timeZone %q is not in the tz database: use a name such as America/Sao_Paulo, Europe/Berlin or Etc/UTC",
				timeZone)}
		}
	}
	line, err := resolveHashes(schedule, seed)
	if err != nil {
		return nil, invalid("%v", err)
	}
	// The very parser that kube-controller-manager has.
	parsed, err := cron.ParseStandard(line)
	if err != nil {
		return nil, invalid("%v: write five fields (minute, hour, day of month, month, day of week), such as \"H 5 * * *\", "+
			"or one of @hourly, @daily, @weekly, @monthly, @yearly", err)
	}
	if _, ok := parsed.(cron.ConstantDelaySchedule); ok {
		// It counts from startingDeadlineSeconds ago where that is later than the last run, so its time may never come.
		return nil, invalid("a CronJob with @every may never start a run: write five fields (minute, hour, day of month, month, " +
			"day of week), such as \"H H/12 * * *\"")
	}
	if parsed.Next(time.Unix(0, 0)).IsZero() {
		return nil, invalid("there is no such day in any year, so it would never run")
	}
	return &Schedule{Line: line, location: location, cron: parsed}, nil
}

// noTimeZone are names that Go may load a time zone by and that name none: that of the machine, which differs between the
// operator and kube-controller-manager; what stands for a zone not set yet; and the databases with other clocks or copies of
// the zones, which only some machines have.
var noTimeZone = regexp.MustCompile(`(?i)^(local|localtime|factory|posixrules|posix/.*|right/.*)$`)

// locations are the time zones that have been read, by name: each takes kilobytes, and many policies share one. There are
// only as many as the tz database has names.
var locations sync.Map

// loadLocation is time.LoadLocation, but reads each time zone once.
func loadLocation(name string) (*time.Location, error) {
	if known, ok := locations.Load(name); ok {
		return known.(*time.Location), nil
	}
	location, err := time.LoadLocation(name)
	if err != nil {
		return nil, err
	}
	known, _ := locations.LoadOrStore(name, location)
	return known.(*time.Location), nil
}

// Next is the first time after t at which the schedule starts a run.
func (s *Schedule) Next(t time.Time) time.Time { return s.cron.Next(t.In(s.location)) }

// resolveHashes puts a value in place of each H.
func resolveHashes(schedule, seed string) (string, error) {
	fields := strings.Fields(schedule)
	if len(fields) != len(cronFields) || !strings.Contains(schedule, "H") {
		return strings.Join(fields, " "), nil
	}
	for i, field := range fields {
		terms := strings.Split(field, ",")
		for j, term := range terms {
			resolved, err := resolveHash(term, cronFields[i], seed)
			if err != nil {
				return "", err
			}
			terms[j] = resolved
		}
		fields[i] = strings.Join(terms, ",")
	}
	return strings.Join(fields, " "), nil
}

// resolveHash resolves one term of one field. Terms without an H are the cron parser's business.
func resolveHash(term string, field cronField, seed string) (string, error) {
	if !strings.HasPrefix(term, "H") {
		return term, nil
	}
	parts := hash.FindStringSubmatch(term)
	if parts == nil {
		return "", fmt.Errorf("%q in the field %s: H stands alone or as in H(0-29), H/15, H(0-29)/10", term, field.name)
	}
	low, high := field.min, field.max
	if parts[1] != "" {
		low, high = atoi(parts[1]), atoi(parts[2])
		if low < field.min || high > field.max || low > high {
			return "", fmt.Errorf("%q in the field %s: the range must rise and lie in %d-%d",
				term, field.name, field.min, field.max)
		}
	}
	value := hashOf(seed, field.name)
	if parts[3] == "" {
		return strconv.Itoa(low + value%(high-low+1)), nil
	}
	step := atoi(parts[3])
	if step < 1 || step > high-low+1 {
		return "", fmt.Errorf("%q in the field %s: the step must lie in 1-%d", term, field.name, high-low+1)
	}
	return fmt.Sprintf("%d-%d/%d", low+value%step, high, step), nil
}

// atoi converts what the pattern has found to be at most four digits.
func atoi(digits string) int {
	n, err := strconv.Atoi(digits)
	if err != nil {
		panic(err)
	}
	return n
}

// hashOf is a number from 0 up that looks random but stays the same.
func hashOf(seed, field string) int {
	h := fnv.New32a()
	// A hash never fails to write.
	_, _ = h.Write([]byte(field + " " + seed))
	return int(h.Sum32() >> 1)
}
