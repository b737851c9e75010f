/* The peer: the smallest user-mode VMM on Linux KVM that runs the benchmark's guest.
 *
 *     peer GUEST ITERATIONS ROUNDS
 *
 * It has what the guest asks for (../guest/contract.h) and what it prints on its UART goes to standard
 * output. The guest counts for itself; nothing is measured here. The path from an exit to the next entry is
 * as short as C makes it. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../guest/contract.h"

#define MEMORY_BYTES (16u << 20)
/* Where the guest finds things at entry; it replaces all of them but the command line. */
#define BOOT_PARAMS 0x7000
#define COMMAND_LINE 0x8000
#define PAGE_TABLES 0x10000

struct machine {
    int kvm, vm, vcpu;
    struct kvm_run *run;
    uint8_t *memory;
};

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

static int control(int file, unsigned long request, void *argument, const char *what)
{
    int result = ioctl(file, request, argument);
    if (result < 0)
        fail(what);
    return result;
}

/* The bzImage by the boot protocol: the part after the setup sectors goes to the address it prefers. Returns
   the entry. */
static uint64_t load(struct machine *m, const char *path, const char *command_line)
{
    static uint8_t file[1 << 20];
    int fd = open(path, O_RDONLY);
    ssize_t bytes = fd < 0 ? -1 : read(fd, file, sizeof file);
    if (bytes < 0x268)
        fail(path);
    close(fd);
    size_t setup = (file[0x1f1] + 1) * 512;
    uint64_t address;
    memcpy(&address, file + 0x258, sizeof address);
    memcpy(m->memory + address, file + setup, bytes - setup);
    memcpy(m->memory + BOOT_PARAMS + 0x1f1, file + 0x1f1, 0x268 - 0x1f1);
    uint32_t at = COMMAND_LINE;
    memcpy(m->memory + BOOT_PARAMS + 0x228, &at, sizeof at);
    strcpy((char *)m->memory + COMMAND_LINE, command_line);
    return address + 0x200;
}

/* The first 4 GiB by identity, in large pages. */
static void map(uint8_t *memory)
{
    uint64_t *level4 = (uint64_t *)(memory + PAGE_TABLES);
    uint64_t *level3 = level4 + 512, *level2 = level3 + 512;
    level4[0] = (PAGE_TABLES + 0x1000) | 7;
    for (uint64_t i = 0; i < 4; i++)
        level3[i] = (PAGE_TABLES + 0x2000 + i * 0x1000) | 7;
    for (uint64_t i = 0; i < 4 * 512; i++)
        level2[i] = i << 21 | 0x87;
}

static void set_cpuid(struct machine *m)
{
    size_t bytes = sizeof(struct kvm_cpuid2) + 256 * sizeof(struct kvm_cpuid_entry2);
    struct kvm_cpuid2 *leaves = calloc(1, bytes);
    leaves->nent = 256;
    control(m->kvm, KVM_GET_SUPPORTED_CPUID, leaves, "supported cpuid");
    for (unsigned i = 0; i < leaves->nent; i++)
        if (leaves->entries[i].function == 1)
            leaves->entries[i].ecx |= 1u << 24 | 1u << 21; /* deadline timer, x2APIC */
    control(m->vcpu, KVM_SET_CPUID2, leaves, "set cpuid");
    free(leaves);
}

static void set_registers(struct machine *m, uint64_t entry)
{
    struct kvm_segment code = {
        .limit = 0xffffffff, .selector = 0x10, .type = 11, .present = 1, .s = 1, .l = 1, .g = 1
    };
    struct kvm_segment data = code;
    data.selector = 0x18, data.type = 3, data.l = 0, data.db = 1;
    struct kvm_sregs s;
    control(m->vcpu, KVM_GET_SREGS, &s, "get sregs");
    s.cs = code;
    s.ds = s.es = s.fs = s.gs = s.ss = data;
    s.cr0 = 0x80050033, s.cr3 = PAGE_TABLES, s.cr4 = 0x6b0, s.efer = 0x500;
    control(m->vcpu, KVM_SET_SREGS, &s, "set sregs");
    struct kvm_regs r = { .rip = entry, .rsi = BOOT_PARAMS, .rsp = 0x7000, .rflags = 2 };
    control(m->vcpu, KVM_SET_REGS, &r, "set regs");
}

static void set_doorbells(struct machine *m)
{
    struct kvm_ioeventfd port = { .addr = PORT_DOORBELL, .len = 1, .fd = eventfd(0, EFD_NONBLOCK),
                                  .flags = KVM_IOEVENTFD_FLAG_PIO };
    struct kvm_ioeventfd page = { .addr = MMIO_DOORBELL, .len = 4, .fd = eventfd(0, EFD_NONBLOCK) };
    control(m->vm, KVM_IOEVENTFD, &port, "doorbell port");
    control(m->vm, KVM_IOEVENTFD, &page, "doorbell page");
}

static void create(struct machine *m, unsigned groups)
{
    m->vm = control(m->kvm, KVM_CREATE_VM, 0, "create vm");
    control(m->vm, KVM_SET_TSS_ADDR, (void *)0xfffbd000, "tss address");
    if (groups & (GROUP_APIC | GROUP_TIMER))
        control(m->vm, KVM_CREATE_IRQCHIP, 0, "create irqchip");
    if (groups & GROUP_MSR) {
        struct kvm_enable_cap msrs = {
            .cap = KVM_CAP_X86_USER_SPACE_MSR, .args = { KVM_MSR_EXIT_REASON_UNKNOWN }
        };
        control(m->vm, KVM_ENABLE_CAP, &msrs, "msrs in user space");
    }
    const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE;
    m->memory = mmap(0, MEMORY_BYTES, PROT_READ | PROT_WRITE, flags, -1, 0);
    struct kvm_userspace_memory_region region = {
        .memory_size = MEMORY_BYTES, .userspace_addr = (uintptr_t)m->memory
    };
    control(m->vm, KVM_SET_USER_MEMORY_REGION, &region, "memory");
    m->vcpu = control(m->vm, KVM_CREATE_VCPU, 0, "create vcpu");
    int bytes = control(m->kvm, KVM_GET_VCPU_MMAP_SIZE, 0, "run page");
    m->run = mmap(0, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, m->vcpu, 0);
    if (m->memory == MAP_FAILED || m->run == MAP_FAILED)
        fail("mmap");
    set_cpuid(m);
    set_doorbells(m);
    map(m->memory);
}

/* A port access by the guest. Nonzero at the end of the run. */
static int port(struct kvm_run *run)
{
    uint8_t *data = (uint8_t *)run + run->io.data_offset;
    if (run->io.direction == KVM_EXIT_IO_IN) {
        *data = run->io.port == 0x3fd ? 0x60 : DEVICE_VALUE;
        return 0;
    }
    if (run->io.port == 0x3f8)
        putchar(*data);
    return run->io.port == PORT_RESET;
}

static void unexpected(struct machine *m)
{
    struct kvm_regs r;
    control(m->vcpu, KVM_GET_REGS, &r, "get regs");
    fprintf(stderr, "peer: exit %u at %llx, not expected\n", m->run->exit_reason, r.rip);
    exit(1);
}

static void run_guest(struct machine *m)
{
    struct kvm_run *run = m->run;
    for (;;) {
        if (ioctl(m->vcpu, KVM_RUN, 0) < 0) {
            if (errno != EINTR)
                fail("run");
            continue;
        }
        switch (run->exit_reason) {
        case KVM_EXIT_IO:
            if (port(run))
                return;
            break;
        case KVM_EXIT_MMIO:
            if (!run->mmio.is_write)
                *(uint32_t *)run->mmio.data = DEVICE_VALUE;
            break;
        case KVM_EXIT_HLT:
            break;
        case KVM_EXIT_X86_RDMSR:
            run->msr.data = 0;
            run->msr.error = 0;
            break;
        default:
            unexpected(m);
        }
    }
}

int main(int count, char **arguments)
{
    /* Each group wants a machine of its own kind. */
    static const unsigned groups[] = { GROUP_APIC, GROUP_HALT, GROUP_MSR, GROUP_TIMER };
    if (count != 4) {
        fprintf(stderr, "usage: peer GUEST ITERATIONS ROUNDS\n");
        return 2;
    }
    int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
    if (kvm < 0)
        fail("/dev/kvm");
    for (unsigned i = 0; i < sizeof groups / sizeof *groups; i++) {
        struct machine m = { .kvm = kvm };
        char line[256];
        snprintf(line, sizeof line, "%.20s %.20s %u", arguments[2], arguments[3], groups[i]);
        create(&m, groups[i]);
        set_registers(&m, load(&m, arguments[1], line));
        run_guest(&m);
        munmap(m.memory, MEMORY_BYTES);
        close(m.vcpu);
        close(m.vm);
        fflush(stdout);
    }
    return 0;
}
