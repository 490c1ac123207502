// Counts what is in a log, with Go's channels:  peer_pipeline FILE LINES
// The same stages as in weir_pipeline.cpp: one goroutine reads, four parse, one filters, batches and counts, with room
// for 64 between two stages. The result is one line of numbers: see pipeline_demo.cpp.
package main

import (
	"bufio"
	"fmt"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"
)

type entry struct {
	level        string
	user         string
	messageBytes uint64
}

type totals struct {
	lines, info, warn, error, messageBytes, users, userDigest uint64
}

func parse(line string) entry {
	first := strings.IndexByte(line, ' ')
	second := -1
	if first >= 0 {
		second = strings.IndexByte(line[first+1:], ' ')
	}
	if second < 0 {
		fmt.Fprintln(os.Stderr, "not a log line:", line)
		os.Exit(1)
	}
	second += first + 1
	return entry{line[:first], line[first+1 : second], uint64(len(line) - second - 1)}
}

func userHash(name string) uint64 {
	hash := uint64(14695981039346656037)
	for i := 0; i < len(name); i++ {
		hash = (hash ^ uint64(name[i])) * 1099511628211
	}
	return hash
}

func count(file *os.File) totals {
	lines := make(chan string, 64)
	entries := make(chan entry, 64)

	go func() {
		defer close(lines)
		scanner := bufio.NewScanner(file)
		for scanner.Scan() {
			lines <- scanner.Text()
		}
		if err := scanner.Err(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}()

	var parsers sync.WaitGroup
	parsed := [4][8]uint64{} // a cache line for each
	for i := range parsed {
		parsers.Add(1)
		go func(parsed *uint64) {
			defer parsers.Done()
			for line := range lines {
				entries <- parse(line)
				*parsed++
			}
		}(&parsed[i][0])
	}
	go func() {
		parsers.Wait()
		close(entries)
	}()

	var t totals
	linesOf := make(map[string]uint64)
	aggregate := func(batch []entry) {
		for _, e := range batch {
			switch e.level {
			case "INFO":
				t.info++
			case "WARN":
				t.warn++
			default:
				t.error++
			}
			t.messageBytes += e.messageBytes
			linesOf[e.user]++
		}
	}
	batch := make([]entry, 0, 256)
	for e := range entries {
		if e.level == "DEBUG" {
			continue
		}
		batch = append(batch, e)
		if len(batch) == 256 {
			aggregate(batch)
			batch = make([]entry, 0, 256)
		}
	}
	aggregate(batch)

	for i := range parsed {
		t.lines += parsed[i][0]
	}
	t.users = uint64(len(linesOf))
	for user, n := range linesOf {
		t.userDigest += userHash(user) * n
	}
	return t
}

func memory(key string) uint64 {
	status, _ := os.ReadFile("/proc/self/status")
	for _, line := range strings.Split(string(status), "\n") {
		if strings.HasPrefix(line, key) {
			var kilobytes uint64
			fmt.Sscan(strings.TrimPrefix(line, key), &kilobytes)
			return 1024 * kilobytes
		}
	}
	return 0
}

func cpuSeconds() float64 {
	var usage syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &usage)
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano()).Seconds()
}

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: peer_pipeline FILE LINES")
		os.Exit(2)
	}
	file, err := os.Open(os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	before, cpu, begin := memory("VmRSS:"), cpuSeconds(), time.Now()
	t := count(file)
	wall, cpu := time.Since(begin).Seconds(), cpuSeconds()-cpu
	growth := uint64(0)
	if peak := memory("VmHWM:"); peak > before {
		growth = peak - before
	}
	fmt.Println(t.lines, t.info, t.warn, t.error, t.messageBytes, t.users, t.userDigest, wall, cpu, growth)
}
