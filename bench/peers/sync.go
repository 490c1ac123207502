// The rows of `bench sync` in Go: see measure.go.
package main

import (
	"runtime"
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

func sendNumbers(to chan<- uint64, first, count uint64) {
	for i := uint64(0); i < count; i++ {
		to <- first + i
	}
}

func sumNumbers(from <-chan uint64, count uint64) uint64 {
	sum := uint64(0)
	for i := uint64(0); i < count; i++ {
		sum += <-from
	}
	return sum
}

func together(bodies ...func()) {
	var all sync.WaitGroup
	all.Add(len(bodies))
	for _, body := range bodies {
		body := body
		go func() {
			defer all.Done()
			body()
		}()
	}
	all.Wait()
}

func spsc(n uint64) bool {
	numbers := make(chan uint64, 128)
	sum := uint64(0)
	together(func() { sendNumbers(numbers, 0, n) }, func() { sum = sumNumbers(numbers, n) })
	return sum == sumOf(0, n)
}

func mpmc(n uint64) bool {
	numbers := make(chan uint64, 128)
	each := n / 4
	var sums [4]uint64
	var bodies []func()
	for i := uint64(0); i < 4; i++ {
		i := i
		bodies = append(bodies,
			func() { sendNumbers(numbers, i*each, each) },
			func() { sums[i] = sumNumbers(numbers, each) })
	}
	together(bodies...)
	return sums[0]+sums[1]+sums[2]+sums[3] == sumOf(0, 4*each)
}

func rendezvous(n uint64) bool {
	there := make(chan uint64)
	back := make(chan uint64)
	sum := uint64(0)
	together(func() {
		for i := uint64(0); i < n; i++ {
			there <- i
			sum += <-back
		}
	}, func() {
		for i := uint64(0); i < n; i++ {
			back <- <-there + 1
		}
	})
	return sum == sumOf(1, n)
}

func selects(n uint64) bool {
	a := make(chan uint64, 128)
	b := make(chan uint64, 128)
	each := n / 2
	sum := uint64(0)
	together(func() { sendNumbers(a, 0, each) }, func() { sendNumbers(b, each, each) }, func() {
		for i := uint64(0); i < 2*each; i++ {
			select {
			case number := <-a:
				sum += number
			case number := <-b:
				sum += number
			}
		}
	})
	return sum == sumOf(0, 2*each)
}

func pool(n uint64) bool {
	jobs := make(chan uint64, 128)
	answers := make(chan uint64, 128)
	sum := uint64(0)
	bodies := []func(){
		func() {
			sendNumbers(jobs, 0, n)
			close(jobs)
		},
		func() { sum = sumNumbers(answers, n) },
	}
	for i := 0; i < 8; i++ {
		bodies = append(bodies, func() {
			for job := range jobs {
				answers <- job + 1
			}
		})
	}
	together(bodies...)
	return sum == sumOf(1, n)
}

func mutex(n uint64) bool {
	var lock sync.Mutex
	count := uint64(0)
	for i := uint64(0); i < n; i++ {
		lock.Lock()
		count++
		lock.Unlock()
	}
	return count == n
}

// Go's nearest to an event that lets one through.
func event(n uint64) bool {
	there := make(chan struct{}, 1)
	back := make(chan struct{}, 1)
	var turns [2]uint64
	play := func(mine, other chan struct{}, turns *uint64) {
		for i := uint64(0); i < n; i++ {
			<-mine
			*turns++
			other <- struct{}{}
		}
	}
	there <- struct{}{}
	together(func() { play(there, back, &turns[0]) }, func() { play(back, there, &turns[1]) })
	return turns[0] == n && turns[1] == n
}

func yield(n uint64) bool {
	var turns [2][8]uint64 // a cache line each
	body := func(turns *uint64) {
		for i := uint64(0); i < n/2; i++ {
			runtime.Gosched()
			*turns++
		}
	}
	together(func() { body(&turns[0][0]) }, func() { body(&turns[1][0]) })
	return turns[0][0] == n/2 && turns[1][0] == n/2
}

func armedTimeout(n uint64) bool {
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

func idleTimeout(n uint64) bool {
	gate := make(chan struct{})
	close(gate)
	passed := uint64(0)
	for i := uint64(0); i < n; i++ {
		timer := time.NewTimer(time.Hour)
		select {
		case <-gate:
			passed++
		case <-timer.C:
		}
		timer.Stop()
	}
	return passed == n
}

func spawn(n uint64) bool {
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
	return sum == sumOf(0, n)
}

func contended(n uint64) bool {
	var lock sync.Mutex
	count := uint64(0)
	body := func() {
		for i := uint64(0); i < n/4; i++ {
			lock.Lock()
			count++
			runtime.Gosched()
			lock.Unlock()
		}
	}
	together(body, body, body, body)
	return count == n/4*4
}

func selectEight(n uint64) bool {
	var c [8]chan uint64
	each := n / 8
	sum := uint64(0)
	var bodies []func()
	for i := uint64(0); i < 8; i++ {
		i := i
		c[i] = make(chan uint64, 128)
		bodies = append(bodies, func() { sendNumbers(c[i], i*each, each) })
	}
	bodies = append(bodies, func() {
		for i := uint64(0); i < 8*each; i++ {
			select {
			case number := <-c[0]:
				sum += number
			case number := <-c[1]:
				sum += number
			case number := <-c[2]:
				sum += number
			case number := <-c[3]:
				sum += number
			case number := <-c[4]:
				sum += number
			case number := <-c[5]:
				sum += number
			case number := <-c[6]:
				sum += number
			case number := <-c[7]:
				sum += number
			}
		}
	})
	together(bodies...)
	return sum == sumOf(0, 8*each)
}

// The idiom: a channel with room for one answer.
func oneshot(n uint64) bool {
	type question struct {
		number uint64
		reply  chan uint64
	}
	questions := make(chan question)
	sum := uint64(0)
	together(func() {
		for i := uint64(0); i < n; i++ {
			reply := make(chan uint64, 1)
			questions <- question{i, reply}
			sum += <-reply
		}
	}, func() {
		for i := uint64(0); i < n; i++ {
			q := <-questions
			q.reply <- q.number + 1
		}
	})
	return sum == sumOf(1, n)
}

// The idiom: a channel for each subscriber.
func broadcast(n uint64) bool {
	const subscribers = 1000
	count := n/subscribers + 1
	var sums [subscribers]uint64
	var to [subscribers]chan uint64
	var bodies []func()
	for i := range to {
		i := i
		to[i] = make(chan uint64, 64)
		bodies = append(bodies, func() {
			for number := range to[i] {
				sums[i] += number
			}
		})
	}
	bodies = append(bodies, func() {
		for number := uint64(0); number < count; number++ {
			for _, c := range to {
				c <- number
			}
		}
		for _, c := range to {
			close(c)
		}
	})
	together(bodies...)
	for _, sum := range sums {
		if sum != sumOf(0, count) {
			return false
		}
	}
	return true
}

func main() {
	rows := map[string]rowFunction{
		"spsc": spsc, "mpmc": mpmc, "rendezvous": rendezvous, "select": selects, "pool": pool, "mutex": mutex,
		"event": event, "yield": yield, "armed_timeout": armedTimeout, "idle_timeout": idleTimeout, "spawn": spawn,
		"contended": contended, "select8": selectEight, "oneshot": oneshot, "broadcast": broadcast,
	}
	a := readArguments()
	measure(rows[a.row], a)
}
