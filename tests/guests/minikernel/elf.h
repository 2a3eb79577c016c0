/* As much of ELF as a position-independent kernel needs. Source: System V ABI, chapters 4 and 5. */
#pragma once

#include <stdint.h>

enum { ELF_MAGIC = 0x464c457f, PT_LOAD = 1, PT_DYNAMIC = 2, DT_NULL = 0, DT_RELA = 7, DT_RELASZ = 8 };
#ifdef __x86_64__
enum { ELF_MACHINE = 62, R_RELATIVE = 8 };
#else
enum { ELF_MACHINE = 183, R_RELATIVE = 1027 };
#endif

struct elf_header {
	uint32_t magic;
	uint8_t class_and_more[12];
	uint16_t type, machine;
	uint32_t version;
	uint64_t entry, segments_offset, sections_offset;
	uint32_t flags;
	uint16_t size, segment_size, segments, section_size, sections, names;
};

struct elf_segment {
	uint32_t type, flags;
	uint64_t offset, address, physical, file_size, memory_size, alignment;
};

struct elf_dynamic { int64_t tag; uint64_t value; };
struct elf_rela { uint64_t offset, info; int64_t addend; };
