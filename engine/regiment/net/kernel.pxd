# What Linux says about UDP sockets, as far as batches of datagrams need it.
from libc.stdint cimport int64_t, uint8_t, uint32_t

cdef extern from "<time.h>" nogil:
    struct timespec:
        int64_t tv_sec
        long tv_nsec

cdef extern from "<sys/socket.h>" nogil:
    int SOL_SOCKET, SO_TIMESTAMPNS, SO_RXQ_OVFL
    int MSG_DONTWAIT, MSG_TRUNC, MSG_ERRQUEUE
    struct iovec:
        void* iov_base
        size_t iov_len
    struct msghdr:
        void* msg_name
        uint32_t msg_namelen
        iovec* msg_iov
        size_t msg_iovlen
        void* msg_control
        size_t msg_controllen
        int msg_flags
    struct mmsghdr:
        msghdr msg_hdr
        unsigned int msg_len
    struct cmsghdr:
        size_t cmsg_len
        int cmsg_level
        int cmsg_type
    size_t CMSG_LEN(size_t length)
    size_t CMSG_SPACE(size_t length)
    cmsghdr* CMSG_FIRSTHDR(msghdr* header)
    cmsghdr* CMSG_NXTHDR(msghdr* header, cmsghdr* control)
    unsigned char* CMSG_DATA(cmsghdr* control)
    ssize_t recvmsg(int fd, msghdr* header, int flags)
    ssize_t sendmsg(int fd, const msghdr* header, int flags)
    int recvmmsg(int fd, mmsghdr* headers, unsigned int count, int flags, timespec* timeout)
    int sendmmsg(int fd, mmsghdr* headers, unsigned int count, int flags)

cdef extern from "<netinet/in.h>" nogil:
    int IPPROTO_IP, IPPROTO_IPV6, IP_RECVERR, IPV6_RECVERR

# Not <netinet/udp.h>: an older libc lacks the names of what the kernel knows since 4.18 and 5.0.
cdef enum:
    SOL_UDP = 17
    UDP_SEGMENT = 103
    UDP_GRO = 104

cdef extern from "<linux/errqueue.h>" nogil:
    int SO_EE_ORIGIN_ICMP, SO_EE_ORIGIN_ICMP6
    struct sock_extended_err:
        uint32_t ee_errno
        uint8_t ee_origin
        uint8_t ee_type
        uint8_t ee_code
