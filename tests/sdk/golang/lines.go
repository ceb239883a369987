// SPDX-License-Identifier: Apache-2.0

// Command lines is a skymon plugin in Go: how many lines a file has. The C of both files is the header's, as cgo reads it.
package main

/*
#include <skymon/plugin.h>
struct lines { const char *path; };
static inline void say(struct skymon *sm, const char *text) { skymon_healthy(sm, "%s", text); }
*/
import "C"

import (
	"strconv"
	"syscall"
	"unsafe"
)

func main() {}

func countOf(path string) (int, error) {
	file, err := syscall.Open(path, syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
	if err != nil {
		return 0, err
	}
	defer syscall.Close(file)
	count, room := 0, make([]byte, 65536)
	for {
		size, err := syscall.Read(file, room)
		if err != nil || size == 0 {
			return count, err
		}
		for _, letter := range room[:size] {
			if letter == '\n' {
				count++
			}
		}
	}
}

// text gives a Go string to C for one call.
func text(value string, call func(*C.char)) {
	bytes := append([]byte(value), 0)
	call((*C.char)(unsafe.Pointer(&bytes[0])))
}

//export check
func check(sm *C.struct_skymon, state unsafe.Pointer) C.enum_skymon_status {
	path := C.GoString((*C.struct_lines)(state).path)
	if path == "/panic" {
		panic("as asked")
	}
	count, err := countOf(path)
	if err != nil {
		C.skymon_reason(sm, C.SKYMON_MISSING)
		text("cannot read "+path+": "+err.Error(), func(words *C.char) { C.say(sm, words) })
		return C.SKYMON_UNHEALTHY
	}
	text("lines", func(name *C.char) { C.skymon_number(sm, name, C.double(count)) })
	text(path+" has "+strconv.Itoa(count)+" lines", func(words *C.char) { C.say(sm, words) })
	return C.SKYMON_HEALTHY
}
