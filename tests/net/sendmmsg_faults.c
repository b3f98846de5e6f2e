/* A sendmmsg for LD_PRELOAD whose next answers can be told: loopback never fills a send buffer and has
 * no small MTU, so what the kernel would say there is said here. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <sys/socket.h>

static const int *script;
static int steps;

/* Each step is the answer to one call: below 0 an errno, above 0 how many messages may go at most. */
void tell(const int *answers, int count)
{
    script = answers;
    steps = count;
}

int remaining(void)
{
    return steps;
}

int sendmmsg(int fd, struct mmsghdr *messages, unsigned int count, int flags)
{
    static int (*real)(int, struct mmsghdr *, unsigned int, int);
    if (!real)
        real = dlsym(RTLD_NEXT, "sendmmsg");
    if (steps) {
        int answer = *script++;
        steps--;
        if (answer < 0) {
            errno = -answer;
            return -1;
        }
        if ((unsigned int)answer < count)
            count = answer;
    }
    return real(fd, messages, count, flags);
}
