/* For LD_PRELOAD: a recvmmsg that claims of the datagrams that came what no sender on loopback can make of
 * them, and a setsockopt of a kernel that knows no UDP_GRO. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

enum { UDP = 17, GRO = 104 };

static int claimed, claiming, without;

/* From now on each datagram is said to be a run of such segments. */
void claim(int segment_bytes)
{
    claimed = segment_bytes;
    claiming = 1;
}

void forget_gro(void)
{
    without = 1;
}

int setsockopt(int fd, int level, int option, const void *value, socklen_t length)
{
    static int (*real)(int, int, int, const void *, socklen_t);
    if (!real)
        real = dlsym(RTLD_NEXT, "setsockopt");
    if (without && level == UDP && option == GRO) {
        errno = ENOPROTOOPT;
        return -1;
    }
    return real(fd, level, option, value, length);
}

int recvmmsg(int fd, struct mmsghdr *messages, unsigned int count, int flags, struct timespec *timeout)
{
    static int (*real)(int, struct mmsghdr *, unsigned int, int, struct timespec *);
    if (!real)
        real = dlsym(RTLD_NEXT, "recvmmsg");
    int got = real(fd, messages, count, flags, timeout);
    for (int i = 0; claiming && i < got; i++) {
        struct msghdr *header = &messages[i].msg_hdr;
        struct cmsghdr *control = (void *)((char *)header->msg_control + header->msg_controllen);
        control->cmsg_level = UDP;
        control->cmsg_type = GRO;
        control->cmsg_len = CMSG_LEN(sizeof claimed);
        memcpy(CMSG_DATA(control), &claimed, sizeof claimed);
        header->msg_controllen += CMSG_SPACE(sizeof claimed);
    }
    return got;
}
