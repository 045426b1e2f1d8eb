// Serves the registry of go-containerregistry with the referrers API, which `crane registry serve` leaves off.
//
//	ggcr-registry DIRECTORY [WARNING]
//
// Blobs go into DIRECTORY. WARNING is said in a header with every answer.
package main

import (
	"log"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/google/go-containerregistry/pkg/registry"
)

func main() {
	options := []registry.Option{
		registry.WithBlobHandler(registry.NewDiskBlobHandler(os.Args[1])),
		registry.WithReferrersSupport(true),
	}
	if len(os.Args) > 2 {
		options = append(options, registry.WithWarning(1, os.Args[2]))
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	log.Printf("serving on port %d", listener.Addr().(*net.TCPAddr).Port)
	server := &http.Server{Handler: registry.New(options...), ReadHeaderTimeout: 5 * time.Second}
	log.Fatal(server.Serve(listener))
}
