/* The kernel: takes the machine over, and answers what is typed at its serial line. */
#include <stdarg.h>

#include "kernel.h"

enum { LINE = 128 };

static void print_number(uint64_t number, unsigned base, unsigned digits)
{
	char text[24];
	unsigned at = 0;
	do {
		text[at++] = "0123456789abcdef"[number % base];
		number /= base;
	} while (number || at < digits);
	while (at)
		serial_put(text[--at]);
}

void print(const char *format, ...)
{
	va_list arguments;
	va_start(arguments, format);
	for (; *format; format++) {
		if (*format == '\n')
			serial_put('\r');
		if (*format != '%') {
			serial_put(*format);
			continue;
		}
		switch (*++format) {
		case 's':
			for (const char *text = va_arg(arguments, const char *); *text; text++)
				serial_put(*text);
			break;
		case 'u':
			print_number(va_arg(arguments, uint64_t), 10, 1);
			break;
		case 'x':
			print_number(va_arg(arguments, uint64_t), 16, 1);
			break;
		case 'm': {
			uint64_t thousandths = va_arg(arguments, uint64_t);
			print_number(thousandths / 1000, 10, 1);
			serial_put('.');
			print_number(thousandths % 1000, 10, 3);
			break;
		}
		}
	}
	va_end(arguments);
}

void panic(const char *why, uint64_t where)
{
	print("\nPANIC: %s at 0x%x\n", why, where);
	halt();
}

uint64_t random_number(void)
{
	static uint64_t state = 88172645463325252; /* Marsaglia, "Xorshift RNGs", 2003 */
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

/* -- commands -------------------------------------------------------------------------------------------------- */

static bool equal(const char *one, const char *two)
{
	while (*one && *one == *two)
		one++, two++;
	return *one == *two;
}

/* A number of at most six digits; 0 for anything else, which no command takes. */
static uint64_t number_of(const char *text)
{
	uint64_t number = 0;
	for (int i = 0; text[i]; i++) {
		if (text[i] < '0' || text[i] > '9' || i == 6)
			return 0;
		number = number * 10 + (uint64_t)(text[i] - '0');
	}
	return number;
}

static void ended(bool passed)
{
	print(passed ? "TEST PASSED\n" : "TEST FAILED\n");
}

static void perf_test(char **words)
{
	if (equal(words[1], "ai_inference"))
		ended(measure_inference());
	else if (equal(words[1], "context_switch"))
		ended(measure_switch());
	else if (equal(words[1], "memory_alloc"))
		ended(measure_memory());
	else
		print("ERROR: perf_test ai_inference|context_switch|memory_alloc\n");
}

static void consensus_test(char **words)
{
	uint64_t node = number_of(words[2]), nodes = number_of(words[3]);
	if (!equal(words[1], "start_node") || nodes < 4 || nodes > 64 || node < 1 || node > nodes)
		print("ERROR: consensus_test start_node I N, N from 4 to 64, I from 1 to N\n");
	else
		print(agree(node, nodes) ? "CONSENSUS_SUCCESS\n" : "CONSENSUS_FAILED\n");
}

static void garbage(char **words) { talk_garbage(equal(words[1], "metrics")); }
static void crash_now(char **words) { (void)words, crash(); }
static void restart_now(char **words) { (void)words, restart(), halt(); }
static void off_now(char **words) { (void)words, power_off(), halt(); }
static void hang(char **words) { (void)words, halt(); }
static void help(char **words);

static const struct command {
	const char *name;
	void (*run)(char **words);
	const char *what;
} commands[] = {
	{"help", help, "these words"},
	{"perf_test", perf_test, "ai_inference|context_switch|memory_alloc: measure"},
	{"consensus_test", consensus_test, "start_node I N: let N replicas in this one memory agree, I leads"},
	{"panic", crash_now, "an illegal instruction"},
	{"hang", hang, "never answer again"},
	{"garbage", garbage, "[metrics] 64 KiB of noise, or METRIC lines that cannot be"},
	{"reboot", restart_now, "reset the machine"},
	{"off", off_now, "power off"},
};
enum { COMMANDS = sizeof commands / sizeof *commands };

static void help(char **words)
{
	(void)words;
	for (int i = 0; i < COMMANDS; i++)
		print("%s: %s\n", commands[i].name, commands[i].what);
}

/* One line, echoed as it is typed. */
static void read_line(char *line)
{
	for (unsigned length = 0;;) {
		int typed = serial_get();
		if (typed == '\r' || typed == '\n') {
			line[length] = 0;
			print("\n");
			return;
		}
		if ((typed == '\b' || typed == 127) && length) {
			length--;
			print("\b \b");
		} else if (typed >= ' ' && typed < 127 && length < LINE - 1) {
			serial_put(line[length++] = (char)typed);
		}
	}
}

static void obey(char *line)
{
	char *words[LINE / 2 + 5];
	int count = 0;
	for (char *at = line; *at;) {
		while (*at == ' ')
			*at++ = 0;
		if (*at)
			words[count++] = at;
		while (*at && *at != ' ')
			at++;
	}
	for (int i = 0; i < 4; i++)
		words[count + i] = ""; /* words that were not typed are empty */
	for (int i = 0; i < COMMANDS; i++)
		if (equal(words[0], commands[i].name))
			return commands[i].run(words);
	if (count)
		print("ERROR: unknown command '%s'\n", words[0]);
}

void kernel_main(const struct boot *boot)
{
	char *heap = boot->heap; /* the firmware's memory is nobody's once the page tables are ours */
	uint64_t heap_size = boot->heap_size;
	serial_start();
	print("\n!KERNEL(U)\n");
	own_the_machine();
	print("MMU ON\n");
	measure_start();
	print("METRIC counter_hz=%u\n", counter_hz());
	heap_start(heap, heap_size);
	print("HEAP: READY\nLAUNCHING SHELL\nSIS Kernel Ready\n");
	for (;;) {
		char line[LINE];
		print("sis> ");
		read_line(line);
		obey(line);
	}
}
