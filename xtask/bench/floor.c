/* The least that any program must do to run short commands on terminals of their own: open a PTY, vfork,
 * make it the controlling terminal, exec `sh -c 'true && :'`, drain the output, reap the child.
 *
 *   floor N JOBS      runs N of them, JOBS at a time, and prints the ms that each took
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pty.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define JOBS_MAX 64

struct job {
    pid_t pid; /* 0: a free place */
    int master;
};

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static double now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1e3 + t.tv_nsec / 1e6;
}

static void start(struct job *job)
{
    static char *const argv[] = {"sh", "-c", "true && :", NULL};
    int slave;
    if (openpty(&job->master, &slave, NULL, NULL, NULL) < 0)
        die("openpty");
    /* The next child must not hold this one's master. */
    if (fcntl(job->master, F_SETFD, FD_CLOEXEC) < 0 || fcntl(job->master, F_SETFL, O_NONBLOCK) < 0)
        die("fcntl");
    job->pid = vfork();
    if (job->pid < 0)
        die("vfork");
    if (job->pid == 0) {
        setsid();
        ioctl(slave, TIOCSCTTY, 0);
        dup2(slave, 0);
        dup2(slave, 1);
        dup2(slave, 2);
        if (slave > 2)
            close(slave);
        execv("/bin/sh", argv);
        _exit(127);
    }
    close(slave);
}

static void finish(struct job *job)
{
    char buffer[4096];
    while (read(job->master, buffer, sizeof buffer) > 0)
        ;
    close(job->master);
    job->pid = 0;
}

int main(int argc, char **argv)
{
    struct job jobs[JOBS_MAX] = {{0, -1}};
    int total = argc > 1 ? atoi(argv[1]) : 0, at_once = argc > 2 ? atoi(argv[2]) : 2;
    int started = 0, ended = 0;
    if (total < 1 || at_once < 1 || at_once > JOBS_MAX) {
        fprintf(stderr, "usage: floor N JOBS (at most %d)\n", JOBS_MAX);
        return 2;
    }
    double began = now_ms();
    while (ended < total) {
        int status;
        for (int i = 0; i < at_once && started < total; i++)
            if (jobs[i].pid == 0) {
                start(&jobs[i]);
                started++;
            }
        pid_t pid = waitpid(-1, &status, 0);
        if (pid < 0)
            die("waitpid");
        if (status != 0) {
            fprintf(stderr, "floor: a command ended with status %d\n", status);
            return 1;
        }
        for (int i = 0; i < at_once; i++)
            if (jobs[i].pid == pid)
                finish(&jobs[i]);
        ended++;
    }
    printf("%.4f\n", (now_ms() - began) / total);
    return 0;
}
