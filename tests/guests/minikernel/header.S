/* The head of the loader's file, written by hand, so that any assembler and linker for ELF can make a UEFI application.
 * Source: Microsoft, "PE Format"; the linker's script (loader.ld) gives the addresses and sizes. Nothing is to be
 * relocated: the loader's code holds no absolute address. */
#ifdef __x86_64__
#define MACHINE 0x8664
#else
#define MACHINE 0xaa64
#endif
	.section .header, "a"
image:
	.ascii "MZ"
	.skip 0x3c - 2
	.long pe - image
pe:
	.ascii "PE\0\0"
	.short MACHINE
	.short 2			/* sections */
	.long 0, 0, 0
	.short sections - optional
	.short 0x0226			/* executable, more than 2 GB, without debug information and line numbers */
optional:
	.short 0x20b			/* PE32+ */
	.short 0
	.long text_size, data_size, 0
	.long efi_main, text_start
	.quad 0				/* made for address 0 */
	.long 4096, 4096		/* alignment in memory and in the file */
	.long 0, 0, 0, 0		/* versions */
	.long image_size, text_start	/* of all; of the headers */
	.long 0
	.short 10			/* EFI application */
	.short 0x100			/* data need not be executable */
	.quad 0, 0, 0, 0
	.long 0, 6			/* six directories, all empty */
	.quad 0, 0, 0, 0, 0, 0
sections:
	.ascii ".text\0\0\0"
	.long text_size, text_start, text_size, text_start, 0, 0, 0
	.long 0x60000020		/* code: read, execute */
	.ascii ".data\0\0\0"
	.long data_size, data_start, data_size, data_start, 0, 0, 0
	.long 0xc0000040		/* data: read, write */
