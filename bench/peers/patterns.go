// The rows of `bench patterns` in Go: see measure.go. The figure of `logs` is the seconds that pass.
package main

import (
	"fmt"
	"strings"
	"sync"
	"time"
)

// sum of first, first + 1, ... of count numbers
func sumOf(first, count uint64) uint64 {
	if count == 0 {
		return 0
	}
	return count*first + count*(count-1)/2
}

const room = 100

type numberRecord struct {
	number, value uint64
}

// A goroutine for each stage, and a channel between each two.
func numbersPipeline(n uint64) bool {
	numbers := make(chan uint64, room)
	parsed := make(chan numberRecord, room)
	wanted := make(chan numberRecord, room)
	enriched := make(chan numberRecord, room)
	go func() {
		defer close(numbers)
		for i := uint64(0); i < n; i++ {
			numbers <- i
		}
	}()
	go func() {
		defer close(parsed)
		for number := range numbers {
			parsed <- numberRecord{number, 3 * number}
		}
	}()
	go func() {
		defer close(wanted)
		for record := range parsed {
			if record.number%10 != 0 {
				wanted <- record
			}
		}
	}()
	go func() {
		defer close(enriched)
		for record := range wanted {
			record.value += 7
			enriched <- record
		}
	}()
	sum := uint64(0)
	for record := range enriched {
		sum += record.value
	}
	leftOut := (n + 9) / 10
	return sum == 3*(sumOf(0, n)-10*sumOf(0, leftOut))+7*(n-leftOut)
}

// Workers, and a channel on either side.
func pool(n uint64) bool {
	jobs := make(chan uint64, 128)
	answers := make(chan uint64, 128)
	var workers sync.WaitGroup
	workers.Add(8)
	for i := 0; i < 8; i++ {
		go func() {
			defer workers.Done()
			for job := range jobs {
				answers <- job + 1
			}
		}()
	}
	go func() {
		for i := uint64(0); i < n; i++ {
			jobs <- i
		}
		close(jobs)
		workers.Wait()
		close(answers)
	}()
	sum := uint64(0)
	for answer := range answers {
		sum += answer
	}
	return sum == sumOf(1, n)
}

type logRecord struct {
	level, user, message string
	valid                bool
}

// Of a flat object of strings without escapes, which is what the source makes.
func memberOf(object, name string) string {
	rest := object[strings.Index(object, name)+len(name):]
	return rest[:strings.IndexByte(rest, '"')]
}

// A stage with workers of its own: the last one closes what they send to.
func stage[In, Out any](workers int, in <-chan In, work func(In) (Out, bool)) <-chan Out {
	out := make(chan Out, room)
	var all sync.WaitGroup
	all.Add(workers)
	for i := 0; i < workers; i++ {
		go func() {
			defer all.Done()
			for item := range in {
				if made, keep := work(item); keep {
					out <- made
				}
			}
		}()
	}
	go func() {
		all.Wait()
		close(out)
	}()
	return out
}

func logs(n uint64) bool {
	const users = 1000
	lines := make(chan string, room)
	go func() {
		defer close(lines)
		levels := []string{"INFO", "WARN", "ERROR"}
		for i := uint64(0); i < n; i++ {
			lines <- fmt.Sprintf(`{"level":"%s","user":"user-%d","message":"request %d has been answered"}`,
				levels[i%3], i%users, i)
		}
	}()
	parsed := stage(4, lines, func(line string) (logRecord, bool) {
		return logRecord{memberOf(line, `"level":"`), memberOf(line, `"user":"`), memberOf(line, `"message":"`), false},
			true
	})
	validated := stage(4, parsed, func(record logRecord) (logRecord, bool) {
		record.valid = record.level != "" && record.user != "" && record.message != ""
		return record, record.valid
	})
	enriched := stage(4, validated, func(record logRecord) (logRecord, bool) {
		if record.level == "ERROR" {
			record.message += " [alert]"
		} else {
			record.message += " [ok]"
		}
		return record, true
	})
	var mutex sync.Mutex
	var processed, errors uint64
	seen := make(map[string]bool)
	for range stage(2, enriched, func(record logRecord) (bool, bool) {
		time.Sleep(100 * time.Microsecond)
		mutex.Lock()
		defer mutex.Unlock()
		processed++
		if record.level == "ERROR" {
			errors++
		}
		seen[record.user] = true
		return true, false
	}) {
	}
	expected := uint64(users)
	if n < expected {
		expected = n
	}
	return processed == n && errors == n/3 && uint64(len(seen)) == expected
}

func main() {
	rows := map[string]rowFunction{"fused": numbersPipeline, "queued": numbersPipeline, "pool": pool}
	a := readArguments()
	if a.row == "logs" {
		begin := time.Now()
		right := logs(a.operations)
		seconds := time.Since(begin).Seconds()
		printAnswer(seconds, seconds, right)
		return
	}
	measure(rows[a.row], a)
}
