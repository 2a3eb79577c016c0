/* The UEFI application: reads \EFI\SIS\KERNEL.ELF from the partition that it came from, puts it somewhere into memory,
 * leaves boot services and jumps into it. */
#include <stddef.h>

#include "boot.h"
#include "efi.h"
#include "elf.h"

enum { PAGE = 4096, HEAP = 4 << 20, MAP = 64 << 10, LARGEST = 16 << 20 };

/* code without absolute addresses has no tables of pointers: what all functions share is on efi_main's stack */
struct loader {
	efi_handle image;
	efi_system_table *system;
};

static void say(struct loader *loader, const char *text)
{
	uint16_t wide[128];
	size_t length = 0;
	while (text[length] && length < 127) {
		wide[length] = (uint16_t)text[length];
		length++;
	}
	wide[length] = 0;
	loader->system->output->output(loader->system->output, wide);
}

static void *pages(struct loader *loader, uint32_t type, uint64_t bytes)
{
	uint64_t address = UINT32_MAX; /* the kernel maps the first 4 GB */
	uint64_t count = (bytes + PAGE - 1) / PAGE;
	return loader->system->boot->allocate_pages(BELOW_ADDRESS, type, count, &address) ? NULL : (void *)address;
}

/* The kernel's file in memory; NULL, and a sentence said, where that cannot be. */
static const char *read_kernel(struct loader *loader, uint64_t *size)
{
	static const uint16_t name[] = u"\\EFI\\SIS\\KERNEL.ELF";
	static const efi_guid loaded_image = LOADED_IMAGE, file_system = FILE_SYSTEM;
	efi_boot_services *boot = loader->system->boot;
	efi_loaded_image *self;
	efi_file_system *volume;
	efi_file *root, *file;
	if (boot->protocol(loader->image, &loaded_image, (void **)&self) ||
	    boot->protocol(self->device, &file_system, (void **)&volume) || volume->open_volume(volume, &root)) {
		say(loader, "minikernel: the partition that the loader came from cannot be read\r\n");
		return NULL;
	}
	if (root->open(root, &file, name, READ, 0)) {
		say(loader, "minikernel: no \\EFI\\SIS\\KERNEL.ELF\r\n");
		return NULL;
	}
	char *content = NULL;
	if (file->seek(file, UINT64_MAX) || file->position(file, size) || file->seek(file, 0) || *size > LARGEST ||
	    !(content = pages(loader, DATA, *size)) || file->read(file, size, content)) {
		say(loader, "minikernel: \\EFI\\SIS\\KERNEL.ELF cannot be read\r\n");
		return NULL;
	}
	return content;
}

/* Source: System V ABI, chapter 5, and the processor's supplement for the relocation "base + addend". */
static void relocate(char *base, const struct elf_dynamic *dynamic)
{
	const struct elf_rela *rela = NULL;
	uint64_t size = 0;
	for (; dynamic->tag != DT_NULL; dynamic++) {
		if (dynamic->tag == DT_RELA)
			rela = (const struct elf_rela *)(base + dynamic->value);
		if (dynamic->tag == DT_RELASZ)
			size = dynamic->value;
	}
	for (uint64_t i = 0; i < size / sizeof *rela; i++)
		if ((uint32_t)rela[i].info == R_RELATIVE)
			*(uint64_t *)(base + rela[i].offset) = (uint64_t)base + rela[i].addend;
}

/* What was written as data will be run, by then without caches and page tables of the firmware. */
static void flush(const char *start, uint64_t size)
{
#ifdef __aarch64__
	for (uint64_t at = 0; at < size; at += 16) /* no cache has shorter lines */
		__asm__ volatile("dc civac, %0" ::"r"(start + at) : "memory");
	__asm__ volatile("dsb sy\n\tic iallu\n\tdsb sy\n\tisb" ::: "memory");
#else
	(void)start, (void)size;
#endif
}

/* Where the kernel begins, NULL if it is none of this machine. */
static kernel_entry *place(struct loader *loader, const char *file, uint64_t size)
{
	const struct elf_header *header = (const struct elf_header *)file;
	if (size < sizeof *header || header->magic != ELF_MAGIC || header->machine != ELF_MACHINE ||
	    header->segments_offset + header->segments * sizeof(struct elf_segment) > size)
		return NULL;
	const struct elf_segment *segments = (const struct elf_segment *)(file + header->segments_offset);
	uint64_t end = 0;
	for (int i = 0; i < header->segments; i++) {
		const struct elf_segment *segment = &segments[i];
		if (segment->type == PT_LOAD && segment->offset + segment->file_size > size)
			return NULL;
		if (segment->type == PT_LOAD && segment->address + segment->memory_size > end)
			end = segment->address + segment->memory_size;
	}
	char *base = end && end <= LARGEST ? pages(loader, CODE, end) : NULL;
	if (!base)
		return NULL;
	memset(base, 0, end);
	for (int i = 0; i < header->segments; i++)
		if (segments[i].type == PT_LOAD)
			memcpy(base + segments[i].address, file + segments[i].offset, segments[i].file_size);
	for (int i = 0; i < header->segments; i++)
		if (segments[i].type == PT_DYNAMIC)
			relocate(base, (const struct elf_dynamic *)(base + segments[i].address));
	flush(base, end);
	return (kernel_entry *)(base + header->entry);
}

efi_status EFIAPI efi_main(efi_handle image, efi_system_table *system)
{
	struct loader loader = {image, system};
	struct boot boot = {.heap_size = HEAP};
	uint64_t size = 0;
	say(&loader, "minikernel: loading \\EFI\\SIS\\KERNEL.ELF\r\n");
	const char *file = read_kernel(&loader, &size);
	if (!file)
		return 1;
	kernel_entry *entry = place(&loader, file, size);
	if (!entry) {
		say(&loader, "minikernel: \\EFI\\SIS\\KERNEL.ELF is no kernel of this machine\r\n");
		return 1;
	}
	void *map = pages(&loader, DATA, MAP);
	boot.heap = pages(&loader, DATA, HEAP);
	if (!map || !boot.heap) {
		say(&loader, "minikernel: too little memory\r\n");
		return 1;
	}
	/* the map may change between the question and the leave: then the firmware says so, and is asked again */
	for (int tries = 0; tries < 8; tries++) {
		uint64_t map_size = MAP, key, each;
		uint32_t version;
		if (!system->boot->memory_map(&map_size, map, &key, &each, &version) &&
		    !system->boot->exit_boot_services(image, key))
			entry(&boot);
	}
	return 1;
}
