/* The interface, set up by the kernel's oldest doors (ioctl), which every kernel with IPv4 has. */
#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../sis.h"
#include "network.h"

#define HOST_NODE 0xfefeu
#define PATIENCE_NS 30000000000u
#define STEP_NS 1000000u

static char interface[IFNAMSIZ];

static void set_mac(uint8_t *mac, unsigned node)
{
    const uint8_t bytes[6] = {0x52, 0x54, 0x77, 0, (uint8_t)(node >> 8), (uint8_t)node};
    memcpy(mac, bytes, sizeof bytes);
}

static void set_address(struct sockaddr *address, uint32_t value)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(value)};
    memcpy(address, &in, sizeof in);
}

/* the first interface that is Ethernet; drivers come up some time after they were loaded */
static bool find_interface(int fd, char *name)
{
    DIR *interfaces = opendir("/sys/class/net");
    bool found = false;
    if (interfaces == NULL) {
        return false;
    }
    for (struct dirent *entry; !found && (entry = readdir(interfaces)) != NULL;) {
        struct ifreq request = {0};
        if (entry->d_name[0] == '.' || strlen(entry->d_name) >= sizeof request.ifr_name) {
            continue;
        }
        strcpy(request.ifr_name, entry->d_name);
        found = ioctl(fd, SIOCGIFHWADDR, &request) == 0 && request.ifr_hwaddr.sa_family == ARPHRD_ETHER;
        if (found) {
            strcpy(name, request.ifr_name);
        }
    }
    closedir(interfaces);
    return found;
}

static void say_no_ipv6(const char *name)
{
    char path[96];
    snprintf(path, sizeof path, "/proc/sys/net/ipv6/conf/%.16s/disable_ipv6", name);
    int file = open(path, O_WRONLY | O_CLOEXEC);
    if (file >= 0) {
        /* a kernel without it has nothing to be told; with it, its own chatter would be counted as the protocol's */
        if (write(file, "1", 1) < 0) {
            channel_text(FRAME_NOTE, "text=IPv6 stays on\n");
        }
        close(file);
    }
}

static bool add_neighbour(int fd, const char *name, uint32_t network, unsigned node)
{
    struct arpreq request = {.arp_flags = ATF_COM | ATF_PERM, .arp_ha.sa_family = ARPHRD_ETHER};
    set_address(&request.arp_pa, network + node);
    set_mac((uint8_t *)request.arp_ha.sa_data, node);
    snprintf(request.arp_dev, sizeof request.arp_dev, "%s", name);
    return ioctl(fd, SIOCSARP, &request) == 0;
}

static bool configure(int fd, const char *name, uint32_t network, unsigned node)
{
    struct ifreq request = {0};
    strcpy(request.ifr_name, name);
    request.ifr_hwaddr.sa_family = ARPHRD_ETHER;
    set_mac((uint8_t *)request.ifr_hwaddr.sa_data, node);
    if (ioctl(fd, SIOCSIFHWADDR, &request) != 0) {
        return false;
    }
    say_no_ipv6(name);
    set_address(&request.ifr_addr, network + node);
    if (ioctl(fd, SIOCSIFADDR, &request) != 0) {
        return false;
    }
    set_address(&request.ifr_netmask, 0xffff0000u);
    if (ioctl(fd, SIOCSIFNETMASK, &request) != 0 || ioctl(fd, SIOCGIFFLAGS, &request) != 0) {
        return false;
    }
    request.ifr_flags |= IFF_UP | IFF_RUNNING;
    return ioctl(fd, SIOCSIFFLAGS, &request) == 0;
}

const char *network_interface(void)
{
    return interface;
}

bool network_up(uint32_t network, unsigned node, unsigned count, char *problem, size_t size)
{
    static bool up, waited;
    char *name = interface;
    if (up || network >> 24 == IN_LOOPBACKNET) {
        return true;
    }
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        snprintf(problem, size, "this kernel has no IPv4");
        return false;
    }
    uint64_t start = now_ns();
    bool found;
    while (!(found = find_interface(fd, name)) && !waited && now_ns() - start < PATIENCE_NS) {
        sleep_until(now_ns() + STEP_NS);
    }
    waited = true; /* what has not come by now does not come for another test */
    up = found && configure(fd, name, network, node) && add_neighbour(fd, name, network, HOST_NODE);
    for (unsigned other = 1; up && other <= count; other++) {
        up = other == node || add_neighbour(fd, name, network, other);
    }
    if (!up) {
        snprintf(problem, size, found ? "%s cannot be set up: %m" : "no Ethernet interface (virtio-net)%s", name);
    }
    close(fd);
    return up;
}
