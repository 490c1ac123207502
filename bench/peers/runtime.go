// The rows of `bench runtime` in Go: see measure.go. The figures of `sleeps` are ms of CPU and the seconds that passed;
// of `parked` the first is the bytes for each goroutine.
package main

import (
	"bufio"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// sum of 0, 1, ... of count numbers
func sumOf(count uint64) uint64 { return count * (count - 1) / 2 }

func branch(first, leaves uint64, sum chan<- uint64) {
	if leaves == 1 {
		sum <- first
		return
	}
	sums := make(chan uint64, 10)
	for i := uint64(0); i < 10; i++ {
		go branch(first+i*(leaves/10), leaves/10, sums)
	}
	all := uint64(0)
	for i := 0; i < 10; i++ {
		all += <-sums
	}
	sum <- all
}

func skynet(n uint64) bool {
	leaves := uint64(1)
	for leaves*10 <= n {
		leaves *= 10
	}
	sum := make(chan uint64, 1)
	go branch(0, leaves, sum)
	return <-sum == sumOf(leaves)
}

func spawnOne(n uint64) bool {
	sum := uint64(0)
	for i := uint64(0); i < n; i++ {
		var child sync.WaitGroup
		child.Add(1)
		go func(number uint64) {
			sum += number
			child.Done()
		}(i)
		child.Wait()
	}
	return sum == sumOf(n)
}

func spawnBatch(n uint64) bool {
	numbers := make([]uint64, n)
	var children sync.WaitGroup
	children.Add(int(n))
	for i := uint64(0); i < n; i++ {
		go func(number uint64) {
			numbers[number] = number
			children.Done()
		}(i)
	}
	children.Wait()
	sum := uint64(0)
	for _, number := range numbers {
		sum += number
	}
	return sum == sumOf(n)
}

func yieldAmong(tasks int, n uint64) bool {
	turns := make([][8]uint64, tasks) // a cache line each
	each := n / uint64(tasks)
	var all sync.WaitGroup
	all.Add(tasks)
	for i := range turns {
		go func(turns *uint64) {
			for i := uint64(0); i < each; i++ {
				runtime.Gosched()
				*turns++
			}
			all.Done()
		}(&turns[i][0])
	}
	all.Wait()
	for i := range turns {
		if turns[i][0] != each {
			return false
		}
	}
	return true
}

// Go's nearest to an event that lets one through.
func pingPong(n uint64) bool {
	there := make(chan struct{}, 1)
	back := make(chan struct{}, 1)
	var turns [2]uint64
	var both sync.WaitGroup
	both.Add(2)
	play := func(mine, other chan struct{}, turns *uint64) {
		for i := uint64(0); i < n; i++ {
			<-mine
			*turns++
			other <- struct{}{}
		}
		both.Done()
	}
	there <- struct{}{}
	go play(there, back, &turns[0])
	go play(back, there, &turns[1])
	both.Wait()
	return turns[0] == n && turns[1] == n
}

func timer(n uint64) bool {
	stopped := uint64(0)
	for i := uint64(0); i < n; i++ {
		timer := time.NewTimer(time.Hour)
		runtime.Gosched()
		if timer.Stop() {
			stopped++
		}
	}
	return stopped == n
}

func lock(n uint64) bool {
	var lock sync.Mutex
	count := uint64(0)
	for i := uint64(0); i < n; i++ {
		lock.Lock()
		count++
		lock.Unlock()
	}
	return count == n
}

func sleepAll(n uint64, length time.Duration) bool {
	var woken uint64
	var all sync.WaitGroup
	all.Add(int(n))
	for i := uint64(0); i < n; i++ {
		go func() {
			begin := time.Now()
			time.Sleep(length)
			if time.Since(begin) >= length {
				atomic.AddUint64(&woken, 1)
			}
			all.Done()
		}()
	}
	all.Wait()
	return woken == n
}

func resident() uint64 {
	file, err := os.Open("/proc/self/status")
	if err != nil {
		return 0
	}
	defer file.Close()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		if fields := strings.Fields(lines.Text()); fields[0] == "VmRSS:" {
			kilobytes, _ := strconv.ParseUint(fields[1], 10, 64)
			return 1024 * kilobytes
		}
	}
	return 0
}

func park(n uint64) float64 {
	before := resident()
	var begun sync.WaitGroup
	begun.Add(int(n))
	for i := uint64(0); i < n; i++ {
		go func() {
			begun.Done()
			time.Sleep(time.Hour)
		}()
	}
	begun.Wait()
	runtime.Gosched()
	return float64(resident()-before) / float64(n)
}

func main() {
	rows := map[string]rowFunction{
		"skynet": skynet, "spawn_one": spawnOne, "spawn_batch": spawnBatch, "ping_pong": pingPong, "timer": timer,
		"lock":       lock,
		"yield_two":  func(n uint64) bool { return yieldAmong(2, n) },
		"yield_many": func(n uint64) bool { return yieldAmong(1000, n) },
	}
	a := readArguments()
	switch a.row {
	case "sleeps":
		cpu, begin := cpuTime(), time.Now()
		right := sleepAll(a.operations, time.Duration(a.milliseconds)*time.Millisecond)
		printAnswer(float64(cpuTime()-cpu)/1e6, time.Since(begin).Seconds(), right)
	case "parked":
		printAnswer(park(a.operations), 0, true)
	default:
		measure(rows[a.row], a)
	}
}
