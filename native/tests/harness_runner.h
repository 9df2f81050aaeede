/* The other half of harness.h: run each test in a process, end it in time, leave nothing behind.
 *
 * The runner is the subreaper of all that a test forks: whatever loses its parent becomes the
 * runner's child, so nothing escapes it, however it was forked. */
#ifndef HARNESS_RUNNER_H
#define HARNESS_RUNNER_H

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

/* The text of a small file in /proc; empty if it is gone. */
static const char *harness_read(char *text, size_t size, const char *form, int a, int b)
{
    char path[64];
    snprintf(path, sizeof path, form, a, b);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? 0 : read(fd, text, size - 1);
    if (fd >= 0)
        close(fd);
    text[n > 0 ? n : 0] = 0;
    return text;
}

/* State and parent of a process. False: it is gone. */
static bool harness_stat(int pid, char *state, int *parent)
{
    char text[512];
    const char *after = strrchr(harness_read(text, sizeof text, "/proc/%d/stat", pid, 0), ')');
    return after && sscanf(after, ") %c %d", state, parent) == 2;
}

/* Call visit(pid) for each process that descends from this one. How many there were. */
static int harness_each_descendant(void (*visit)(int pid))
{
    int count = 0;
    DIR *proc = opendir("/proc");
    for (struct dirent *e; proc && (e = readdir(proc));) {
        int pid = atoi(e->d_name), up = pid;
        char state;
        while (up > 1 && harness_stat(up, &state, &up) && up != (int)getpid())
            continue;
        if (pid > 1 && up == (int)getpid()) {
            visit(pid);
            count++;
        }
    }
    if (proc)
        closedir(proc);
    return count;
}

/* Print each thread of a process: its state and the kernel function that it sleeps in. */
static void harness_print(int pid)
{
    char dir[64];
    snprintf(dir, sizeof dir, "/proc/%d/task", pid);
    DIR *tasks = opendir(dir);
    for (struct dirent *e; tasks && (e = readdir(tasks));) {
        int tid = atoi(e->d_name), parent = 0;
        char state = '?', wchan[128];
        if (tid > 0 && harness_stat(tid, &state, &parent))
            fprintf(stderr, "  process %d (child of %d), thread %d: state %c, in %s\n", pid, parent,
                    tid, state,
                    harness_read(wchan, sizeof wchan, "/proc/%d/task/%d/wchan", pid, tid));
    }
    if (tasks)
        closedir(tasks);
}

static void harness_kill(int pid) { kill(pid, SIGKILL); }

static bool harness_run(const harness_test *test)
{
    int status, left = 0;
    fflush(NULL);
    atomic_store(harness_failed_checks, 0);
    pid_t pid = fork();
    if (pid == 0) {
        test->run();
        exit(0);
    }
    struct pollfd p = {.fd = (int)syscall(SYS_pidfd_open, pid, 0), .events = POLLIN};
    bool in_time = poll(&p, 1, test->limit_s * 1000) == 1;
    close(p.fd);
    if (!in_time) {
        fprintf(stderr, "%s: not done after %d s; its processes:\n", test->name, test->limit_s);
        harness_each_descendant(harness_print);
        kill(pid, SIGKILL);
    }
    waitpid(pid, &status, 0);
    while (harness_each_descendant(harness_kill))
        left += waitpid(-1, NULL, 0) > 0;
    if (in_time && WIFSIGNALED(status))
        fprintf(stderr, "%s: died of signal %d\n", test->name, WTERMSIG(status));
    if (in_time && status == 0 && left)
        fprintf(stderr, "%s: left %d child processes behind\n", test->name, left);
    return in_time && status == 0 && left == 0 && atomic_load(harness_failed_checks) == 0;
}

static int harness_main(const char *only)
{
    int passed = 0, failed = 0;
    const char *fork_tests = getenv("HARNESS_FORK");
    prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
    harness_failed_checks = mmap(NULL, sizeof *harness_failed_checks, PROT_READ | PROT_WRITE,
                                 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    for (int i = 0; i < harness_count; i++) {
        const harness_test *test = &harness_tests[i];
        if (only && !strstr(test->name, only))
            continue;
        if (fork_tests && strcmp(fork_tests, "0") == 0) {
            test->run();
            passed++;
        } else if (harness_run(test)) {
            passed++;
        } else {
            fprintf(stderr, "FAILED %s\n", test->name);
            failed++;
        }
    }
    printf("%d passed, %d failed\n", passed, failed);
    return failed || passed == 0;
}

#endif
