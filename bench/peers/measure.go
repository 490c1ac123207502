// What the programs of the rows in Go have in common: each is built together with this file.
// They are called as  PROGRAM ROW OPERATIONS THREADS [MILLISECONDS]  and print two figures and "right" or "wrong". The
// figures are the ns for each operation and the time passed for each CPU time, if a row says nothing else.
// As in C++: with one thread CPU time counts, of the whole process, with two the time that passes.
package main

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"syscall"
	"time"
)

type rowFunction = func(operations uint64) bool

type arguments struct {
	row          string
	operations   uint64
	threads      int
	milliseconds int
}

func readArguments() arguments {
	if len(os.Args) < 4 || len(os.Args) > 5 {
		fmt.Fprintln(os.Stderr, "usage:", os.Args[0], "ROW OPERATIONS THREADS [MILLISECONDS]")
		os.Exit(2)
	}
	var a arguments
	a.row = os.Args[1]
	a.operations, _ = strconv.ParseUint(os.Args[2], 10, 64)
	a.threads, _ = strconv.Atoi(os.Args[3])
	if len(os.Args) == 5 {
		a.milliseconds, _ = strconv.Atoi(os.Args[4])
	}
	if a.operations == 0 || a.threads < 1 {
		os.Exit(2)
	}
	runtime.GOMAXPROCS(a.threads)
	return a
}

func cpuTime() time.Duration {
	var usage syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &usage)
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

func printAnswer(first, second float64, right bool) {
	answer := "right"
	if !right {
		answer = "wrong"
	}
	fmt.Printf("%.3f %.4f %s\n", first, second, answer)
}

// Runs a row, first to warm up, and prints what it took.
func measure(row rowFunction, a arguments) {
	if row == nil {
		fmt.Fprintln(os.Stderr, "no row is called", a.row)
		os.Exit(2)
	}
	warmUp := a.operations / 16
	if warmUp < 1024 {
		warmUp = 1024
	}
	right := row(warmUp)
	cpu, begin := cpuTime(), time.Now()
	right = row(a.operations) && right
	cpu, wall := cpuTime()-cpu, time.Since(begin)
	ns, stretched := float64(wall), 1.0
	if a.threads == 1 {
		ns, stretched = float64(cpu), float64(wall)/float64(cpu)
	}
	printAnswer(ns/float64(a.operations), stretched, right)
}
