/* As much of UEFI as a loader needs. Source of all layouts and identifiers: UEFI Specification 2.10, sections 4.3
 * (system table), 4.4 (boot services), 9.1 (loaded image), 13.4 and 13.5 (file system, file). Services that are not
 * called stand as gaps. */
#pragma once

#include <stdint.h>

#ifdef __x86_64__
#define EFIAPI __attribute__((ms_abi))
#else
#define EFIAPI
#endif

typedef uint64_t efi_status; /* 0: success; the highest bit is set in errors */
typedef void *efi_handle;
typedef struct { uint32_t a; uint16_t b, c; uint8_t d[8]; } efi_guid;

#define LOADED_IMAGE {0x5b1b31a1, 0x9562, 0x11d2, {0x8e, 0x3f, 0x00, 0xa0, 0xc9, 0x69, 0x72, 0x3b}}
#define FILE_SYSTEM {0x964e5b22, 0x6459, 0x11d2, {0x8e, 0x39, 0x00, 0xa0, 0xc9, 0x69, 0x72, 0x3b}}
enum { BELOW_ADDRESS = 1 };          /* EFI_ALLOCATE_TYPE: AllocateMaxAddress */
enum { CODE = 1, DATA = 2 };         /* EFI_MEMORY_TYPE: EfiLoaderCode, EfiLoaderData */
enum { READ = 1 };                   /* EFI_FILE_MODE_READ */

typedef struct efi_text {
	void *reset;
	efi_status(EFIAPI *output)(struct efi_text *, const uint16_t *);
} efi_text;

typedef struct efi_file {
	uint64_t revision;
	efi_status(EFIAPI *open)(struct efi_file *, struct efi_file **, const uint16_t *, uint64_t mode, uint64_t attributes);
	efi_status(EFIAPI *close)(struct efi_file *);
	void *remove;
	efi_status(EFIAPI *read)(struct efi_file *, uint64_t *size, void *);
	void *write;
	efi_status(EFIAPI *position)(struct efi_file *, uint64_t *);
	efi_status(EFIAPI *seek)(struct efi_file *, uint64_t);
} efi_file;

typedef struct efi_file_system {
	uint64_t revision;
	efi_status(EFIAPI *open_volume)(struct efi_file_system *, efi_file **);
} efi_file_system;

typedef struct {
	uint32_t revision;
	efi_handle parent;
	void *system;
	efi_handle device;
} efi_loaded_image;

typedef struct {
	uint8_t header[24];
	void *task_priority[2];
	efi_status(EFIAPI *allocate_pages)(uint32_t how, uint32_t type, uint64_t pages, uint64_t *address);
	void *free_pages;
	efi_status(EFIAPI *memory_map)(uint64_t *size, void *map, uint64_t *key, uint64_t *each, uint32_t *version);
	void *pool[2], *events[6], *install[3];
	efi_status(EFIAPI *protocol)(efi_handle, const efi_guid *, void **);
	void *reserved, *locate[3], *configuration, *images[4];
	efi_status(EFIAPI *exit_boot_services)(efi_handle, uint64_t key);
} efi_boot_services;

typedef struct {
	uint8_t header[24];
	void *vendor;
	uint64_t revision;
	void *input[2];
	efi_handle output_handle;
	efi_text *output;
	void *error[2], *runtime;
	efi_boot_services *boot;
} efi_system_table;
