// Reads archives with what kit unpacks with, and says what it read.
//
//	go-readers tar|gzip|zstd
//
// On standard input: archives, each behind its length (8 bytes, big-endian). On standard output a line for each: JSON with the entries
// of a tar ([name in hex, kind, size]) and the SHA-256 of all content, or with the error.
package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"io"
	"log"
	"os"

	"github.com/klauspost/compress/zstd"
)

type answer struct {
	Entries [][3]any `json:"entries"`
	SHA256  string   `json:"sha256"`
	Error   string   `json:"error"`
}

var kinds = map[byte]string{
	tar.TypeReg: "file", tar.TypeDir: "directory", tar.TypeSymlink: "link", tar.TypeLink: "hard link",
	tar.TypeChar: "device", tar.TypeBlock: "device", tar.TypeFifo: "fifo",
}

func readTar(data io.Reader, content io.Writer) ([][3]any, error) {
	entries := [][3]any{}
	reader := tar.NewReader(data)
	for {
		header, err := reader.Next()
		if err == io.EOF {
			return entries, nil
		}
		if err != nil {
			return nil, err
		}
		if header.Typeflag == tar.TypeXGlobalHeader {
			continue
		}
		kind, known := kinds[header.Typeflag]
		if !known {
			kind = string(header.Typeflag)
		}
		var size int64
		if kind == "file" {
			if size, err = io.Copy(content, reader); err != nil {
				return nil, err
			}
		}
		entries = append(entries, [3]any{hex.EncodeToString([]byte(header.Name)), kind, size})
	}
}

func read(format string, data io.Reader, content io.Writer) (entries [][3]any, err error) {
	switch format {
	case "tar":
		return readTar(data, content)
	case "gzip":
		if data, err = gzip.NewReader(data); err != nil {
			return nil, err
		}
	case "zstd":
		if data, err = zstd.NewReader(data); err != nil {
			return nil, err
		}
	}
	_, err = io.Copy(content, data)
	return nil, err
}

func main() {
	output := json.NewEncoder(os.Stdout)
	for {
		var length uint64
		if err := binary.Read(os.Stdin, binary.BigEndian, &length); err == io.EOF {
			return
		} else if err != nil {
			log.Fatal(err)
		}
		data := make([]byte, length)
		if _, err := io.ReadFull(os.Stdin, data); err != nil {
			log.Fatal(err)
		}
		content := sha256.New()
		entries, err := read(os.Args[1], bytes.NewReader(data), content)
		said := answer{Entries: entries, SHA256: hex.EncodeToString(content.Sum(nil))}
		if err != nil {
			said.Error = err.Error()
		}
		if err := output.Encode(said); err != nil {
			log.Fatal(err)
		}
	}
}
