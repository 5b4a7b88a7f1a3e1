"""The system calls a runner may make, as the JSON an engine takes.

Everything is refused unless it is named here. The list is what an engine with its builder, and the
programs people run in builds, need; what only the owner of a whole machine
needs is absent: kernel modules, kexec, clocks, swap, raw I/O ports, BPF, perf,
userfaultfd, io_uring, the file-handle and new-mount-configuration calls, and
socket families other than the five named. Nested containers get their inner
engine's own, narrower filter on top.

Pure; called by ``levels``.
"""

from __future__ import annotations

import errno
import json
from functools import cache
from typing import Any

_PROCESS = """
    arch_prctl brk capget capset clone clone3 execve execveat exit exit_group fork vfork futex
    futex_time64 futex_waitv get_robust_list set_robust_list get_thread_area set_thread_area
    set_tid_address getpgid getpgrp getpid getppid getpriority getsid gettid kill membarrier
    modify_ldt pause pidfd_getfd pidfd_open pidfd_send_signal prctl process_mrelease rseq seccomp
    set_mempolicy get_mempolicy mbind setpgid setpriority setsid tgkill tkill wait4 waitid waitpid
    unshare setns ptrace process_vm_readv process_vm_writev landlock_create_ruleset
    landlock_add_rule landlock_restrict_self ioprio_get ioprio_set
"""
_IDENTITY = """
    getegid getegid32 geteuid geteuid32 getgid getgid32 getgroups getgroups32 getresgid
    getresgid32 getresuid getresuid32 getuid getuid32 setfsgid setfsgid32 setfsuid setfsuid32
    setgid setgid32 setgroups setgroups32 setregid setregid32 setresgid setresgid32 setresuid
    setresuid32 setreuid setreuid32 setuid setuid32 umask sethostname setdomainname
    add_key request_key keyctl
"""
_LIMITS_AND_TIME = """
    getrlimit setrlimit ugetrlimit prlimit64 getrusage times sysinfo uname getcpu getrandom
    adjtimex clock_adjtime clock_adjtime64 clock_getres clock_getres_time64 clock_gettime
    clock_gettime64 clock_nanosleep clock_nanosleep_time64 gettimeofday time nanosleep alarm
    getitimer setitimer timer_create timer_delete timer_getoverrun timer_gettime timer_gettime64
    timer_settime timer_settime64 timerfd_create timerfd_gettime timerfd_gettime64 timerfd_settime
    timerfd_settime64 sched_get_priority_max sched_get_priority_min sched_getaffinity sched_getattr
    sched_getparam sched_getscheduler sched_rr_get_interval sched_rr_get_interval_time64
    sched_setaffinity sched_setattr sched_setparam sched_setscheduler sched_yield
"""
_MEMORY = """
    mmap mmap2 mprotect mremap munmap madvise mincore mlock mlock2 mlockall munlock munlockall
    msync memfd_create memfd_secret remap_file_pages pkey_alloc pkey_free pkey_mprotect
    shmat shmctl shmdt shmget
"""
_SIGNALS = """
    rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend
    rt_sigtimedwait rt_sigtimedwait_time64 rt_tgsigqueueinfo sigaction sigaltstack signal signalfd
    signalfd4 sigpending sigprocmask sigreturn sigsuspend restart_syscall
"""
_FILES = """
    access faccessat faccessat2 chdir fchdir chmod fchmod fchmodat fchmodat2 chown chown32 fchown
    fchown32 fchownat lchown lchown32 close close_range creat open openat openat2 dup dup2 dup3
    copy_file_range fadvise64 fadvise64_64 arm_fadvise64_64 fallocate fcntl fcntl64 fdatasync
    fsync sync syncfs sync_file_range sync_file_range2 flock ftruncate ftruncate64 truncate
    truncate64 getcwd getdents getdents64 readdir ioctl link linkat symlink symlinkat lseek _llseek
    mkdir mkdirat mknod mknodat pipe pipe2 read readv pread64 preadv preadv2 write writev pwrite64
    pwritev pwritev2 readahead readlink readlinkat rename renameat renameat2 rmdir sendfile
    sendfile64 splice tee vmsplice stat stat64 fstat fstat64 fstatat64 newfstatat lstat lstat64
    statfs statfs64 fstatfs fstatfs64 statx unlink unlinkat utime utimes utimensat
    utimensat_time64 futimesat getxattr fgetxattr lgetxattr listxattr flistxattr llistxattr
    setxattr fsetxattr lsetxattr removexattr fremovexattr lremovexattr name_to_handle_at quotactl
    inotify_init inotify_init1 inotify_add_watch inotify_rm_watch fanotify_init fanotify_mark
"""
_WAITING = """
    epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait
    epoll_wait_old poll ppoll ppoll_time64 select _newselect pselect6 pselect6_time64 eventfd
    eventfd2 io_setup io_destroy io_submit io_cancel io_getevents io_pgetevents
    io_pgetevents_time64
"""
_MESSAGES = """
    socketpair bind listen accept accept4 connect getpeername getsockname getsockopt setsockopt
    send sendto sendmsg sendmmsg recv recvfrom recvmsg recvmmsg recvmmsg_time64 shutdown ipc
    msgctl msgget msgrcv msgsnd semctl semget semop semtimedop semtimedop_time64 mq_getsetattr
    mq_notify mq_open mq_timedreceive mq_timedreceive_time64 mq_timedsend mq_timedsend_time64
    mq_unlink
"""
# What makes an engine out of a container: moving into a new root and mounting
# there. The kernel checks each against the runner's own user namespace.
_CONTAINERS = """
    chroot pivot_root mount umount umount2 open_tree move_mount mount_setattr reboot syslog
"""
# Legal only as questions or for well known values; the rest is refused.
_PERSONALITIES = (0x0, 0x8, 0x20000, 0x20008, 0xFFFFFFFF)

# Unix, IPv4, IPv6, netlink. No packet sockets (forged ARP), no vsock (the
# hypervisor), no AF_ALG, Bluetooth, CAN or TIPC (kernel attack surface).
_FAMILIES = (1, 2, 10, 16)

# Named only to fix the answer: engines before 23 answer EPERM to whatever is
# not named, and then programs give up where ENOSYS makes them take an older call.
_UNKNOWN = """
    fsopen fsconfig fsmount fspick io_uring_setup io_uring_enter io_uring_register userfaultfd
    process_madvise socketcall cachestat map_shadow_stack mseal statmount listmount
    futex_wake futex_wait futex_requeue set_mempolicy_home_node lsm_get_self_attr
    lsm_set_self_attr lsm_list_modules
"""


def names() -> frozenset[str]:
    """Return every call that is allowed whatever its arguments."""
    groups = (_PROCESS, _IDENTITY, _LIMITS_AND_TIME, _MEMORY, _SIGNALS, _FILES, _WAITING)
    return frozenset(" ".join((*groups, _MESSAGES, _CONTAINERS)).split())


def profile() -> dict[str, Any]:
    """Return the profile as the engine's JSON structure."""
    return {
        "defaultAction": "SCMP_ACT_ERRNO",
        "defaultErrnoRet": errno.ENOSYS,
        # 32-bit programs run, x32 ones do not.
        "archMap": [
            {"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86"]},
            {"architecture": "SCMP_ARCH_AARCH64", "subArchitectures": ["SCMP_ARCH_ARM"]},
        ],
        "syscalls": [
            {"names": sorted(names()), "action": "SCMP_ACT_ALLOW"},
            *(_equal("personality", value) for value in _PERSONALITIES),
            *(_equal("socket", family) for family in _FAMILIES),
            {
                "names": sorted(_UNKNOWN.split()),
                "action": "SCMP_ACT_ERRNO",
                "errnoRet": errno.ENOSYS,
            },
        ],
    }


@cache
def text() -> str:
    """Return the profile as the text of a ``seccomp=`` security option."""
    return json.dumps(profile(), separators=(",", ":"))


def _equal(name: str, value: int) -> dict[str, Any]:
    return {
        "names": [name],
        "action": "SCMP_ACT_ALLOW",
        "args": [{"index": 0, "value": value, "op": "SCMP_CMP_EQ"}],
    }
