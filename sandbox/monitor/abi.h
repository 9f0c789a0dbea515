/*
 * The kernel's binary interface as the monitor uses it: constants and structures of the uapi headers that need no libc.
 * <linux/...> and <asm/...> headers are freestanding; what only libc's headers have is spelled out here.
 */
/* clang-format off: the order matters */
#ifndef MONITOR_ABI_H
#define MONITOR_ABI_H

#include <asm/prctl.h>
#include <asm/sigcontext.h>
#include <asm/siginfo.h>
#include <asm/stat.h>
#include <asm/statfs.h>
#include <asm/unistd.h>
#include <linux/auxvec.h>
#include <linux/elf.h>
#include <linux/errno.h>
#include <linux/eventpoll.h>
#include <linux/falloc.h>
#include <linux/fcntl.h>
#include <linux/fs.h>
#include <linux/futex.h>
#include <linux/memfd.h>
#include <linux/mman.h>
#include <linux/openat2.h>
#include <linux/poll.h>
#include <linux/prctl.h>
#include <linux/resource.h>
#include <linux/sched.h>
#include <linux/signal.h>
#include <asm/ucontext.h> /* needs linux/signal.h before it */
#include <linux/stat.h>
#include <linux/time.h>
#include <linux/times.h>
#include <linux/timerfd.h>
#include <linux/utsname.h>
#include <linux/wait.h>

#endif
