/* Frames to the host: numbered and checksummed, over a line of their own, apart from the console.
 *
 * Layout, little endian: magic "SISF", type u16, 0 u16, sequence u32, length u32, payload, CRC-32 (zlib's) of
 * all before it. Payloads are `key=value` lines, but for DECISIONS (replica/ledger.c), FILE and SAMPLES: metric name, NUL, first index u32, count u32,
 * then each sample as LEB128 of the zigzag of its difference to the one before (0 before the first).
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "sis.h"

#define PAYLOAD_MAX 32768
#define FILE_PART 30000
#define SAMPLES_PER_FRAME 2048 /* ten bytes at most each */
/* A write to a port returns when it is queued, and a queue has 128 places (QEMU, hw/char/virtio-serial-bus.c): so many
 * frames later all before them have been taken. What fits the host's pipe is taken at once.
 */
#define PORT_PLACES 160
#define PIPE_LEAST 32768
#define PORT_NAME "sistasks.results"
/* Virtual I/O Device (VIRTIO) 1.2, sections 4.1.2 and 5 */
#define VIRTIO_VENDOR 0x1af4
#define VIRTIO_CONSOLE 0x1003
#define VIRTIO_CONSOLE_MODERN 0x1043
#define PORT_PATIENCE_NS 30000000000u
#define PORT_STEP_NS 1000000u

static int channel = -1;
static uint32_t sequence;
static uint64_t sample_count, sent;
static bool gone;
static uint8_t frame[16 + PAYLOAD_MAX + 4];

static uint32_t crc32_of(const uint8_t *data, size_t size)
{
    static uint32_t table[256];
    if (table[1] == 0) {
        for (uint32_t i = 0; i < 256; i++) {
            uint32_t c = i;
            for (int bit = 0; bit < 8; bit++) {
                c = c & 1 ? 0xedb88320u ^ (c >> 1) : c >> 1;
            }
            table[i] = c;
        }
    }
    uint32_t crc = 0xffffffffu;
    for (size_t i = 0; i < size; i++) {
        crc = table[(crc ^ data[i]) & 0xff] ^ (crc >> 8);
    }
    return crc ^ 0xffffffffu;
}

static void put32(uint8_t *at, uint32_t value)
{
    for (int i = 0; i < 4; i++) {
        at[i] = (uint8_t)(value >> (8 * i));
    }
}

/* While frames are held they are only collected. Sending takes as long as the host takes to read, and even that
 * little could move what is measured next.
 */
static bool holding;
static uint8_t *held;
static size_t held_size, held_room;

static bool hold_bytes(const uint8_t *data, size_t size)
{
    if (held_size + size > held_room) {
        size_t room = (held_size + size) * 2;
        uint8_t *larger = realloc(held, room);
        if (larger == NULL) {
            return false;
        }
        held = larger;
        held_room = room;
    }
    memcpy(held + held_size, data, size);
    held_size += size;
    return true;
}

static void write_all(const uint8_t *data, size_t size)
{
    if (holding) {
        if (hold_bytes(data, size)) {
            return;
        }
        channel_release(); /* too little memory to hold more: the order of the frames is kept */
    }
    while (size > 0) {
        ssize_t done = write(channel, data, size);
        if (done <= 0) {
            perror("sistasks: the results channel is gone");
            gone = true;
            /* nobody will hear more: an end says so at once, silence only after the host's patience */
            power_off();
        }
        data += done;
        size -= (size_t)done;
        sent += (uint64_t)done;
    }
}

static void send_frame(enum frame_type type, size_t length)
{
    memcpy(frame, "SISF", 4);
    frame[4] = (uint8_t)type;
    frame[5] = frame[6] = frame[7] = 0;
    put32(frame + 8, sequence++);
    put32(frame + 12, (uint32_t)length);
    put32(frame + 16 + length, crc32_of(frame, 16 + length));
    write_all(frame, 16 + length + 4);
}

/* a virtio port of our name, if the kernel has virtio-serial */
static int open_port(char *name, size_t size)
{
    DIR *ports = opendir("/sys/class/virtio-ports");
    int fd = -1;
    if (ports == NULL) {
        return -1;
    }
    for (struct dirent *entry; fd < 0 && (entry = readdir(ports)) != NULL;) {
        char path[320], text[64] = "";
        snprintf(path, sizeof path, "/sys/class/virtio-ports/%s/name", entry->d_name);
        int file = open(path, O_RDONLY | O_CLOEXEC);
        if (file < 0) {
            continue;
        }
        ssize_t length = read(file, text, sizeof text - 1);
        close(file);
        if (length > 0 && strncmp(text, PORT_NAME, strlen(PORT_NAME)) == 0) {
            snprintf(name, size, "/dev/%.32s", entry->d_name);
            fd = open(name, O_RDWR | O_CLOEXEC);
        }
    }
    closedir(ports);
    return fd;
}

/* the tty of QEMU's pci-serial, else the second serial line of a PC */
static int open_serial(char *name, size_t size)
{
    struct pci_device device;
    struct termios raw;
    snprintf(name, size, "/dev/ttyS1");
    if (pci_present(&device, 0x1b36, 0x0002)) { /* enabled by its driver, which nobody may do again */
        char path[160];
        snprintf(path, sizeof path, "%s/tty", device.path);
        DIR *ttys = opendir(path);
        if (ttys != NULL) {
            for (struct dirent *entry; (entry = readdir(ttys)) != NULL;) {
                if (strncmp(entry->d_name, "tty", 3) == 0) {
                    snprintf(name, size, "/dev/%.32s", entry->d_name);
                }
            }
            closedir(ttys);
        }
    }
    int fd = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (fd >= 0 && tcgetattr(fd, &raw) == 0) {
        cfmakeraw(&raw);
        cfsetspeed(&raw, B115200);
        tcsetattr(fd, TCSANOW, &raw);
    }
    return fd;
}

/* The machine has virtio-serial. Its port comes some time after its driver; on a busy host a long time. */
static int wait_for_port(char *name, size_t size)
{
    uint64_t start = now_ns();
    int fd;
    while ((fd = open_port(name, size)) < 0 && now_ns() - start < PORT_PATIENCE_NS) {
        sleep_until(now_ns() + PORT_STEP_NS);
    }
    return fd;
}

void channel_take(int fd)
{
    channel = fd;
}

bool channel_open(char *name, size_t size)
{
    struct pci_device device;
    channel = -1;
    if (pci_present(&device, VIRTIO_VENDOR, VIRTIO_CONSOLE) ||
        pci_present(&device, VIRTIO_VENDOR, VIRTIO_CONSOLE_MODERN)) {
        channel = wait_for_port(name, size);
    }
    if (channel < 0) {
        channel = open_serial(name, size);
    }
    return channel >= 0;
}

void channel_text(enum frame_type type, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf((char *)frame + 16, PAYLOAD_MAX, format, arguments);
    va_end(arguments);
    if (length > 0) {
        send_frame(type, length < PAYLOAD_MAX ? (size_t)length : PAYLOAD_MAX - 1);
    }
}

void channel_bytes(enum frame_type type, const void *data, size_t size)
{
    memcpy(frame + 16, data, size);
    send_frame(type, size);
}

void channel_samples(const char *metric, const int64_t *samples, uint32_t count)
{
    for (uint32_t first = 0; first < count; first += SAMPLES_PER_FRAME) {
        uint32_t some = count - first < SAMPLES_PER_FRAME ? count - first : SAMPLES_PER_FRAME;
        uint8_t *at = frame + 16;
        int64_t before = 0;
        at += snprintf((char *)at, 64, "%s", metric) + 1;
        put32(at, first);
        put32(at + 4, some);
        at += 8;
        for (uint32_t i = first; i < first + some; i++) {
            uint64_t difference = (uint64_t)samples[i] - (uint64_t)before;
            uint64_t zigzag = difference << 1 ^ (uint64_t)((int64_t)difference >> 63);
            before = samples[i];
            for (; zigzag >= 0x80; zigzag >>= 7) {
                *at++ = (uint8_t)(zigzag | 0x80);
            }
            *at++ = (uint8_t)zigzag;
        }
        send_frame(FRAME_SAMPLES, (size_t)(at - frame - 16));
    }
    sample_count += count;
}

void channel_part(const char *name, uint32_t offset, const void *data, size_t size)
{
    uint8_t *at = frame + 16;
    at += snprintf((char *)at, 64, "%s", name) + 1;
    put32(at, offset);
    memcpy(at + 4, data, size);
    send_frame(FRAME_FILE, (size_t)(at - frame - 16) + 4 + size);
}

bool channel_file(const char *name, const char *path, uint64_t most)
{
    static uint8_t data[FILE_PART];
    uint32_t offset = 0;
    ssize_t done = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return false;
    }
    while (offset < most) {
        size_t size = 0, room = most - offset < sizeof data ? (size_t)(most - offset) : sizeof data;
        /* files of a kernel give a page at a time */
        while (size < room && (done = read(fd, data + size, room - size)) > 0) {
            size += (size_t)done;
        }
        if (size == 0) {
            break;
        }
        channel_part(name, offset, data, size);
        offset += (uint32_t)size;
    }
    close(fd);
    return done >= 0;
}

void channel_hold(void)
{
    holding = true;
}

void channel_release(void)
{
    holding = false;
    write_all(held, held_size);
    free(held);
    held = NULL;
    held_size = held_room = 0;
}

uint64_t channel_sample_count(void)
{
    return sample_count;
}

void channel_drain(void)
{
    if (holding || gone) {
        return;
    }
    if (isatty(channel)) {
        tcdrain(channel);
    }
    bool full = sent > PIPE_LEAST && !isatty(channel);
    for (int i = 0; full && i < PORT_PLACES; i++) {
        send_frame(FRAME_FILL, 0);
    }
    sent = 0;
}
