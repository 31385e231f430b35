/*
 * The floor: an echo server as one writes it by hand on Linux when nothing but speed counts.
 *
 * One thread, edge-triggered epoll, no deadlines, no limits, no figures, no fairness: what any
 * server pays at least. What it echoes it owes: bytes that the kernel does not take are kept and
 * go out first, and nothing more is read from that peer meanwhile.
 *
 *     cc -O2 -Wall -Wextra -o floor floor.c
 *     ./floor            # prints "listening on 127.0.0.1:PORT"
 */
#define _GNU_SOURCE
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BACKLOG = 4096, EVENTS = 1024, READ_BUFFER = 64 * 1024, OPEN_FILES = 20000 };

/* What is known of a connection; its descriptor is its place in the table. */
struct conn {
    char *queued; /* what the kernel has not taken yet, NULL if nothing */
    size_t queued_from, queued_to;
    int hung_up; /* RDHUP, HUP or ERR was seen: a short read does not mean empty any more */
};

static struct conn *conns;
static size_t conns_len;
static char read_buffer[READ_BUFFER];

static void die(const char *what) {
    perror(what);
    exit(1);
}

/* The table has room for this descriptor, and what is there is new. */
static void open_conn(int fd) {
    if ((size_t)fd >= conns_len) {
        size_t len = conns_len ? conns_len : 64;
        while (len <= (size_t)fd)
            len *= 2;
        conns = realloc(conns, len * sizeof *conns);
        if (!conns)
            die("realloc");
        conns_len = len;
    }
    memset(&conns[fd], 0, sizeof conns[fd]);
}

/* Closing a descriptor takes it out of the epoll set as well. */
static void close_conn(int fd) {
    free(conns[fd].queued);
    conns[fd].queued = NULL;
    close(fd);
}

/* As `send`, but an interrupted call is repeated and "would block" is 0 bytes. */
static ssize_t send_some(int fd, const char *bytes, size_t len) {
    for (;;) {
        ssize_t sent = send(fd, bytes, len, MSG_NOSIGNAL);
        if (sent >= 0)
            return sent;
        if (errno == EAGAIN)
            return 0;
        if (errno != EINTR)
            return -1;
    }
}

static void keep(struct conn *conn, const char *bytes, size_t len) {
    conn->queued = malloc(len);
    if (!conn->queued)
        die("malloc");
    memcpy(conn->queued, bytes, len);
    conn->queued_from = 0;
    conn->queued_to = len;
}

/* Sends what is queued: 1 if all of it has gone, 0 if the kernel is full, -1 if it failed. */
static int flush(int fd, struct conn *conn) {
    size_t len = conn->queued_to - conn->queued_from;
    ssize_t sent = send_some(fd, conn->queued + conn->queued_from, len);
    if (sent < 0)
        return -1;
    conn->queued_from += (size_t)sent;
    if ((size_t)sent < len)
        return 0;
    free(conn->queued);
    conn->queued = NULL;
    return 1;
}

/*
 * Echoes until nothing is left to read or the kernel takes no more; -1: it is over. The end is
 * only ever seen while nothing is queued, so closing then loses nothing.
 */
static int echo(int fd, struct conn *conn) {
    for (;;) {
        ssize_t got = recv(fd, read_buffer, sizeof read_buffer, 0);
        if (got == 0)
            return -1;
        if (got < 0) {
            if (errno == EINTR)
                continue;
            return errno == EAGAIN ? 0 : -1;
        }
        ssize_t sent = send_some(fd, read_buffer, (size_t)got);
        if (sent < 0)
            return -1;
        if (sent < got) {
            keep(conn, read_buffer + sent, (size_t)(got - sent));
            return 0;
        }
        /* A short read has emptied the socket, unless the end waits behind it. */
        if (got < READ_BUFFER && !conn->hung_up)
            return 0;
    }
}

static void serve(int fd, unsigned events) {
    struct conn *conn = &conns[fd];
    if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))
        conn->hung_up = 1;
    if (conn->queued) {
        int flushed = flush(fd, conn);
        if (flushed == 0)
            return;
        if (flushed < 0) {
            close_conn(fd);
            return;
        }
    }
    if (echo(fd, conn) < 0)
        close_conn(fd);
}

static void accept_all(int epoll, int listener) {
    for (;;) {
        int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) {
            if (errno == EINTR || errno == ECONNABORTED)
                continue;
            if (errno != EAGAIN)
                perror("accept4");
            return;
        }
        open_conn(fd);
        struct epoll_event event = { .events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
                                     .data.fd = fd };
        if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) < 0)
            close_conn(fd);
    }
}

/* Its descriptors may be as many as the hard limit allows, 20,000 at the most. */
static void raise_open_files(void) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        die("getrlimit");
    limit.rlim_cur = limit.rlim_max < OPEN_FILES ? limit.rlim_max : OPEN_FILES;
    if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
        die("setrlimit");
}

/* A listener on a free port; the connections inherit TCP_NODELAY from it. */
static int listen_on_loopback(void) {
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        die("socket");
    int on = 1;
    if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) < 0)
        die("TCP_NODELAY");
    struct sockaddr_in addr = { .sin_family = AF_INET,
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t len = sizeof addr;
    if (bind(fd, (struct sockaddr *)&addr, len) < 0)
        die("bind");
    if (listen(fd, BACKLOG) < 0)
        die("listen");
    if (getsockname(fd, (struct sockaddr *)&addr, &len) < 0)
        die("getsockname");
    printf("listening on 127.0.0.1:%d\n", ntohs(addr.sin_port));
    fflush(stdout);
    return fd;
}

int main(void) {
    raise_open_files();
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    if (epoll < 0)
        die("epoll_create1");
    int listener = listen_on_loopback();
    struct epoll_event event = { .events = EPOLLIN | EPOLLET, .data.fd = listener };
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event) < 0)
        die("epoll_ctl");

    static struct epoll_event events[EVENTS];
    for (;;) {
        int ready = epoll_wait(epoll, events, EVENTS, -1);
        if (ready < 0 && errno != EINTR)
            die("epoll_wait");
        for (int i = 0; i < ready; i++) {
            if (events[i].data.fd == listener)
                accept_all(epoll, listener);
            else
                serve(events[i].data.fd, events[i].events);
        }
    }
}
