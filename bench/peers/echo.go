// The echo server in Go: a goroutine for each connection, on one thread where GOMAXPROCS=1 says so.
// Usage: peer_echo [PORT]. Ends on SIGINT or SIGTERM.
package main

import (
	"fmt"
	"net"
	"os"
	"os/signal"
	"syscall"
)

func echo(peer net.Conn) {
	defer peer.Close()
	buffer := make([]byte, 4096)
	for {
		n, err := peer.Read(buffer)
		if err != nil {
			return
		}
		if _, err := peer.Write(buffer[:n]); err != nil {
			return
		}
	}
}

func main() {
	port := "0"
	if len(os.Args) > 1 {
		port = os.Args[1]
	}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	listener, err := net.Listen("tcp4", "127.0.0.1:"+port)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Printf("listening on %s\n", listener.Addr())
	go func() {
		for {
			peer, err := listener.Accept()
			if err != nil {
				return
			}
			go echo(peer)
		}
	}()
	<-signals
}
