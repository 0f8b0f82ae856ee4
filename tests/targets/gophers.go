// Goroutines at known depths, on more stacks than threads; it stops itself by SIGSTOP once all are there.
package main

import (
	"os"
	"sync"
	"syscall"
	"time"
)

var table = map[string]int{"a": 1, "b": 2}

func deeper(depth int, ready *sync.WaitGroup, never chan int) int {
	if depth == 0 {
		ready.Done()
		return <-never
	}
	return deeper(depth-1, ready, never) + depth
}

func main() {
	var ready sync.WaitGroup
	never := make(chan int)
	block := make([]byte, 16<<20)
	for i := range block {
		block[i] = byte(i >> 12)
	}
	for i := 0; i < 5; i++ {
		ready.Add(1)
		go deeper(i, &ready, never)
	}
	ready.Wait()
	syscall.Kill(os.Getpid(), syscall.SIGSTOP)
	time.Sleep(time.Hour)
	println(table["a"], block[0])
}
