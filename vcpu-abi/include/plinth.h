/* The ABI between Plinth's kernel and its processes; docs/abi.md says what it means.
 * Made by `cargo run -p vcpu-abi --example header`: do not edit. */
#ifndef PLINTH_H
#define PLINTH_H

#include <stddef.h>
#include <stdint.h>

/* General */
#define PLINTH_ABI_VERSION 1
#define PLINTH_BATCH_MAX 64
#define PLINTH_FLAG_CONTINUE 1
#define PLINTH_HANDLE_SELF 1
#define PLINTH_PAYLOAD_BYTES 48
#define PLINTH_PAGE_BYTES 4096
#define PLINTH_PROCESS_NAME_BYTES 16
#define PLINTH_XSAVE_OFFSET 1024
#define PLINTH_MESSAGE_HANDLES 4
#define PLINTH_MESSAGE_WORDS 12
#define PLINTH_RECEIVE_REPLY 1
#define PLINTH_REGISTER_WORDS 4
#define PLINTH_CAME_WORDS 2
#define PLINTH_CAME_MESSAGE 0

/* System calls */
#define PLINTH_SYS_EXIT 0
#define PLINTH_SYS_BATCH 1
#define PLINTH_SYS_RUN 2
#define PLINTH_SYS_YIELD 3
#define PLINTH_SYS_THREAD_EXIT 4
#define PLINTH_SYS_CALL 5
#define PLINTH_SYS_RECEIVE 6
#define PLINTH_SYS_CALL_WORDS 7
#define PLINTH_SYS_RECEIVE_WORDS 8

/* Status */
#define PLINTH_STATUS_NOT_FOUND (-7)
#define PLINTH_STATUS_OVERLAP (-6)
#define PLINTH_STATUS_BAD_POINTER (-5)
#define PLINTH_STATUS_BAD_ARGUMENT (-4)
#define PLINTH_STATUS_NO_RIGHT (-3)
#define PLINTH_STATUS_BAD_HANDLE (-2)
#define PLINTH_STATUS_BAD_OPERATION (-1)
#define PLINTH_STATUS_OK (0)
#define PLINTH_STATUS_EXHAUSTED (64)
#define PLINTH_STATUS_WRONG_STATE (65)
#define PLINTH_STATUS_TIMED_OUT (66)
#define PLINTH_STATUS_DISCONNECTED (67)
#define PLINTH_STATUS_OUT_OF_MEMORY (68)
#define PLINTH_STATUS_OUT_OF_HANDLES (69)
#define PLINTH_STATUS_OUT_OF_THREADS (70)
#define PLINTH_STATUS_OUT_OF_EVENTS (71)
#define PLINTH_STATUS_OUT_OF_PROCESSES (72)
#define PLINTH_STATUS_OUT_OF_OBJECTS (73)
#define PLINTH_STATUS_HOST_FAULT (96)

/* Rights */
#define PLINTH_RIGHT_READ 0x1u
#define PLINTH_RIGHT_WRITE 0x2u
#define PLINTH_RIGHT_MAP 0x4u
#define PLINTH_RIGHT_CREATE 0x8u
#define PLINTH_RIGHT_WAIT 0x10u
#define PLINTH_RIGHT_SIGNAL 0x20u
#define PLINTH_RIGHT_RUN 0x40u
#define PLINTH_RIGHT_GRANT 0x80u

/* Permissions */
#define PLINTH_PERMISSION_READ 0x1u
#define PLINTH_PERMISSION_WRITE 0x2u
#define PLINTH_PERMISSION_EXECUTE 0x4u

/* Operations */
#define PLINTH_SYSTEM_INFO 0x00010001u
#define PLINTH_SYSTEM_END 0x00010002u
#define PLINTH_SYSTEM_CPUID 0x00010003u
#define PLINTH_SYSTEM_HANDLED 0x00010004u
#define PLINTH_SYSTEM_CREATE_VM 0x00010005u
#define PLINTH_SYSTEM_PROCESS 0x00010006u
#define PLINTH_SYSTEM_PORTS 0x00010007u
#define PLINTH_LOG_WRITE 0x00020001u
#define PLINTH_LOG_READ 0x00020002u
#define PLINTH_FILES_OPEN 0x00030001u
#define PLINTH_FILE_INFO 0x00040001u
#define PLINTH_FILE_READ 0x00040002u
#define PLINTH_PROCESS_CREATE 0x00040003u
#define PLINTH_PROCESS_GRANT 0x00050001u
#define PLINTH_PROCESS_START 0x00050002u
#define PLINTH_PROCESS_STATE 0x00050003u
#define PLINTH_PROCESS_WATCH 0x00050004u
#define PLINTH_PROCESS_ALLOCATE 0x00050005u
#define PLINTH_THREAD_CREATE 0x00050006u
#define PLINTH_EVENT_CREATE 0x00050007u
#define PLINTH_HANDLE_CLOSE 0x00050008u
#define PLINTH_PROCESS_UNMAP 0x0005000au
#define PLINTH_PROCESS_USE_FPU 0x00050009u
#define PLINTH_HANDLE_NARROW 0x0005000fu
#define PLINTH_PROCESS_END 0x00050014u
#define PLINTH_ENDPOINT_CREATE 0x0005000bu
#define PLINTH_PROCESS_LIMIT 0x0005000du
#define PLINTH_PROCESS_BUDGET 0x0005000eu
#define PLINTH_SHARED_CREATE 0x0005000cu
#define PLINTH_EVENT_SIGNAL 0x00060001u
#define PLINTH_EVENT_WAIT 0x00060002u
#define PLINTH_EVENT_BIND_VCPU 0x00060003u
#define PLINTH_EVENT_BIND_ENDPOINT 0x00060004u
#define PLINTH_MEMORY_RANGE 0x00070001u
#define PLINTH_MEMORY_MAP 0x00070002u
#define PLINTH_MEMORY_NARROW 0x00070003u
#define PLINTH_VM_MAP 0x00080001u
#define PLINTH_VM_ALLOCATE 0x00080002u
#define PLINTH_VCPU_CREATE 0x00080003u
#define PLINTH_VM_UNMAP 0x00080004u
#define PLINTH_VM_PROTECT 0x00080005u
#define PLINTH_VM_MAP_AT 0x00080006u
#define PLINTH_VCPU_KICK 0x00090001u
#define PLINTH_VCPU_FETCH 0x00090002u
#define PLINTH_VCPU_RUN 0x00090003u
#define PLINTH_VCPU_INTERCEPT 0x00090004u
#define PLINTH_PORT_READ 0x000a0001u
#define PLINTH_PORT_WRITE 0x000a0002u
#define PLINTH_INTERRUPT_BIND 0x000b0001u
#define PLINTH_PCI_READ 0x000f0001u
#define PLINTH_PCI_BARS 0x000f0002u
#define PLINTH_PCI_CLAIM 0x000f0003u
#define PLINTH_FUNCTION_READ 0x00100001u
#define PLINTH_FUNCTION_MAP 0x00100002u
#define PLINTH_FUNCTION_BIND 0x00100003u
#define PLINTH_FUNCTION_ENABLE 0x00100004u
#define PLINTH_FUNCTION_ALLOCATE 0x00100005u
#define PLINTH_CHANNEL_CREATE 0x000c0001u
#define PLINTH_SHARED_INFO 0x000e0001u
#define PLINTH_SHARED_MAP 0x000e0002u

/* Why a guest stopped */
#define PLINTH_EXIT_NONE 0
#define PLINTH_EXIT_CPUID 1
#define PLINTH_EXIT_RDMSR 2
#define PLINTH_EXIT_WRMSR 3
#define PLINTH_EXIT_PORT 4
#define PLINTH_EXIT_MEMORY 5
#define PLINTH_EXIT_HLT 6
#define PLINTH_EXIT_VMMCALL 7
#define PLINTH_EXIT_XSETBV 8
#define PLINTH_EXIT_UNDEFINED 9
#define PLINTH_EXIT_CACHE_CONTROL 10
#define PLINTH_EXIT_SHUTDOWN 11
#define PLINTH_EXIT_INTERRUPT_WINDOW 12
#define PLINTH_EXIT_WORK 13
#define PLINTH_EXIT_DEADLINE 14
#define PLINTH_EXIT_INVALID_STATE 15
#define PLINTH_EXIT_UNKNOWN 16
#define PLINTH_EXIT_NMI_RETURN 17
#define PLINTH_EXIT_REGISTER_WRITE 18
#define PLINTH_EXIT_EXCEPTION 19

/* What a thread received */
#define PLINTH_RECEIVED_CALL 0
#define PLINTH_RECEIVED_NOTIFICATION 1
#define PLINTH_RECEIVED_WORDS 2

/* Why the machine ends */
#define PLINTH_END_POWER_OFF 0
#define PLINTH_END_RESET 1
#define PLINTH_END_TRIPLE_FAULT 2
#define PLINTH_END_PROCESS_FAILED 3
#define PLINTH_END_TESTS_PASSED 4
#define PLINTH_END_TESTS_FAILED 5

/* What a process has a budget of */
#define PLINTH_BUDGET_MEMORY 0
#define PLINTH_BUDGET_HANDLES 1
#define PLINTH_BUDGET_THREADS 2
#define PLINTH_BUDGET_EVENTS 3
#define PLINTH_BUDGET_PROCESSES 4
#define PLINTH_BUDGET_OBJECTS 5
#define PLINTH_BUDGET_PRIORITY 6
#define PLINTH_BUDGET_SHARE 7

/* Register groups */
#define PLINTH_GROUP_GENERAL 0x1u
#define PLINTH_GROUP_SYSTEM 0x2u
#define PLINTH_GROUP_SEGMENTS 0x4u
#define PLINTH_GROUP_MSRS 0x8u
#define PLINTH_GROUP_INJECTION 0x10u
#define PLINTH_GROUP_XCR0 0x20u
#define PLINTH_GROUP_FPU 0x40u
#define PLINTH_GROUP_TPR 0x80u
#define PLINTH_GROUP_CONTROLS 0x100u
#define PLINTH_GROUP_DECODING 0x200u

/* Offsets in the run page */
#define PLINTH_RUN_PAGE_BATCH_COUNT 0
#define PLINTH_RUN_PAGE_ACTIVITY 4
#define PLINTH_RUN_PAGE_DEADLINE_TSC 8
#define PLINTH_RUN_PAGE_DIRTY 16
#define PLINTH_RUN_PAGE_DELIVER 20
#define PLINTH_RUN_PAGE_WINDOW 24
#define PLINTH_RUN_PAGE_PENDING_WORK 28
#define PLINTH_RUN_PAGE_CR8 32
#define PLINTH_RUN_PAGE_NMI_RETURN 36
#define PLINTH_RUN_PAGE_EXIT 56
#define PLINTH_RUN_PAGE_GENERAL 184
#define PLINTH_RUN_PAGE_INJECTION 328
#define PLINTH_RUN_PAGE_XCR0 336
#define PLINTH_RUN_PAGE_SYSTEM 344
#define PLINTH_RUN_PAGE_SEGMENTS 440
#define PLINTH_RUN_PAGE_MSRS 568
#define PLINTH_RUN_PAGE_XSAVE 1024

struct plinth_operation {
    uint32_t code;
    uint32_t flags;
    uint32_t handle;
    int32_t status;
    uint8_t payload[PLINTH_PAYLOAD_BYTES];
};
_Static_assert(sizeof(struct plinth_operation) == 64, "operation");
_Static_assert(offsetof(struct plinth_operation, payload) == 16, "payload");

struct plinth_message {
    uint64_t key;
    uint64_t deadline_tsc;
    uint32_t handles[PLINTH_MESSAGE_HANDLES];
    uint64_t words[PLINTH_MESSAGE_WORDS];
};
_Static_assert(sizeof(struct plinth_message) == 128, "message");

/* The payloads of the operations. */

struct plinth_system_info {
    uint64_t tsc_hz;
    uint64_t kept_bytes;
    uint64_t free_bytes;
    uint32_t cpus;
    uint32_t boot_flags;
    uint64_t boot_tsc;
};
_Static_assert(sizeof(struct plinth_system_info) == 40, "system_info");

struct plinth_system_end {
    uint32_t reason;
    uint32_t reserved;
};
_Static_assert(sizeof(struct plinth_system_end) == 8, "system_end");

struct plinth_system_cpuid {
    uint32_t eax;
    uint32_t ebx;
    uint32_t ecx;
    uint32_t edx;
};
_Static_assert(sizeof(struct plinth_system_cpuid) == 16, "system_cpuid");

struct plinth_system_handled {
    uint32_t index;
    uint32_t reserved;
    uint64_t count;
};
_Static_assert(sizeof(struct plinth_system_handled) == 16, "system_handled");

struct plinth_system_create_vm {
    uint32_t handle;
    uint32_t reserved;
};
_Static_assert(sizeof(struct plinth_system_create_vm) == 8, "system_create_vm");

struct plinth_system_process {
    uint64_t serial;
    uint64_t address;
};
_Static_assert(sizeof(struct plinth_system_process) == 16, "system_process");

struct plinth_system_ports {
    uint32_t first;
    uint32_t count;
    uint32_t handle;
    uint32_t reserved;
};
_Static_assert(sizeof(struct plinth_system_ports) == 16, "system_ports");

struct plinth_log_write {
    uint64_t address;
    uint64_t bytes;
    uint32_t level;
    uint32_t reserved;
};
_Static_assert(sizeof(struct plinth_log_write) == 24, "log_write");

struct plinth_log_read {
    uint64_t from;
    uint64_t address;
    uint64_t bytes;
    uint64_t lost;
    uint64_t end;
};
_Static_assert(sizeof(struct plinth_log_read) == 40, "log_read");

struct plinth_files_open {
    uint64_t name;
    uint64_t name_bytes;
    uint32_t handle;
    uint32_t reserved;
};
_Static_assert(sizeof(struct plinth_files_open) == 24, "files_open");

struct plinth_file_info {
    uint64_t bytes;
    uint64_t gpa;
    uint32_t kind;
    uint32_t reserved;
};
_Static_assert(sizeof(struct plinth_file_info) == 24, "file_info");

struct plinth_file_read {
    uint64_t offset;
    uint64_t address;
    uint64_t bytes;
};
_Static_assert(sizeof(struct plinth_file_read) == 24, "file_read");

struct plinth_process_create {
    uint32_t handle;
    uint32_t reserved;
};
_Static_assert(sizeof(struct plinth_process_create) == 8, "process_create");

struct plinth_process_grant {
    uint32_t source;
    uint32_t rights;
    uint32_t handle;
    uint32_t reserved;
};
_Static_assert(sizeof(struct plinth_process_grant) == 16, "process_grant");

struct plinth_process_start {
    uint64_t start_page;
    uint64_t bytes;
    uint32_t cpu;
    uint32_t priority;
};
_Static_assert(sizeof(struct plinth_process_start) == 24, "process_start");

struct plinth_process_state {
    uint32_t state;
    uint32_t code;
    uint64_t rip;
    uint64_t address;
    uint64_t error_code;
};
_Static_assert(sizeof(struct plinth_process_state) == 32, "process_state");

struct plinth_process_watch {
    uint32_t event;
    uint32_t reserved;
};
_Static_assert(sizeof(struct plinth_process_watch) == 8, "process_watch");

struct plinth_process_allocate {
    uint64_t address;
    uint64_t bytes;
};
_Static_assert(sizeof(struct plinth_process_allocate) == 16, "process_allocate");

struct plinth_thread_create {
    uint64_t entry;
    uint64_t stack;
    uint64_t argument;
    uint32_t cpu;
    uint32_t priority;
};
_Static_assert(sizeof(struct plinth_thread_create) == 32, "thread_create");

struct plinth_event_create {
    uint32_t handle;
    uint32_t reserved;
};
_Static_assert(sizeof(struct plinth_event_create) == 8, "event_create");

struct plinth_handle_close {
    uint32_t handle;
    uint32_t reserved;
};
_Static_assert(sizeof(struct plinth_handle_close) == 8, "handle_close");

struct plinth_process_unmap {
    uint64_t address;
    uint64_t bytes;
};
_Static_assert(sizeof(struct plinth_process_unmap) == 16, "process_unmap");

struct plinth_process_use_fpu {
    uint64_t reserved;
};
_Static_assert(sizeof(struct plinth_process_use_fpu) == 8, "process_use_fpu");

struct plinth_handle_narrow {
    uint32_t source;
    uint32_t rights;
    uint32_t handle;
    uint32_t reserved;
};
_Static_assert(sizeof(struct plinth_handle_narrow) == 16, "handle_narrow");

struct plinth_process_end {
    uint32_t code;
    uint32_t reserved;
};
_Static_assert(sizeof(struct plinth_process_end) == 8, "process_end");

struct plinth_endpoint_create {
    uint32_t handle;
    uint32_t reserved;
};
_Static_assert(sizeof(struct plinth_endpoint_create) == 8, "endpoint_create");

struct plinth_process_limit {
    uint32_t budget;
    uint32_t reserved;
    uint64_t limit;
};
_Static_assert(sizeof(struct plinth_process_limit) == 16, "process_limit");

struct plinth_process_budget {
    uint32_t budget;
    uint32_t reserved;
    uint64_t limit;
    uint64_t used;
};
_Static_assert(sizeof(struct plinth_process_budget) == 24, "process_budget");

struct plinth_shared_create {
    uint64_t bytes;
    uint32_t handle;
    uint32_t reserved;
};
_Static_assert(sizeof(struct plinth_shared_create) == 16, "shared_create");

struct plinth_event_signal {
    uint64_t reserved;
};
_Static_assert(sizeof(struct plinth_event_signal) == 8, "event_signal");

struct plinth_event_wait {
    uint64_t deadline_tsc;
};
_Static_assert(sizeof(struct plinth_event_wait) == 8, "event_wait");

struct plinth_event_bind_vcpu {
    uint32_t vcpu;
    uint32_t bit;
};
_Static_assert(sizeof(struct plinth_event_bind_vcpu) == 8, "event_bind_vcpu");

struct plinth_event_bind_endpoint {
    uint32_t endpoint;
    uint32_t reserved;
    uint64_t key;
};
_Static_assert(sizeof(struct plinth_event_bind_endpoint) == 16, "event_bind_endpoint");

struct plinth_memory_range {
    uint64_t index;
    uint64_t gpa;
    uint64_t bytes;
};
_Static_assert(sizeof(struct plinth_memory_range) == 24, "memory_range");

struct plinth_memory_map {
    uint64_t address;
    uint64_t gpa;
    uint64_t bytes;
};
_Static_assert(sizeof(struct plinth_memory_map) == 24, "memory_map");

struct plinth_memory_narrow {
    uint64_t gpa;
    uint64_t bytes;
    uint32_t handle;
    uint32_t reserved;
};
_Static_assert(sizeof(struct plinth_memory_narrow) == 24, "memory_narrow");

struct plinth_vm_map {
    uint32_t memory;
    uint32_t reserved;
    uint64_t gpa;
    uint64_t bytes;
};
_Static_assert(sizeof(struct plinth_vm_map) == 24, "vm_map");

struct plinth_vm_allocate {
    uint64_t gpa;
    uint64_t bytes;
    uint64_t address;
    uint64_t writable;
};
_Static_assert(sizeof(struct plinth_vm_allocate) == 32, "vm_allocate");

struct plinth_vcpu_create {
    uint64_t address;
    uint32_t cpu;
    uint32_t handle;
};
_Static_assert(sizeof(struct plinth_vcpu_create) == 16, "vcpu_create");

struct plinth_vm_unmap {
    uint64_t gpa;
    uint64_t bytes;
};
_Static_assert(sizeof(struct plinth_vm_unmap) == 16, "vm_unmap");

struct plinth_vm_protect {
    uint64_t gpa;
    uint64_t bytes;
    uint32_t permissions;
    uint32_t reserved;
};
_Static_assert(sizeof(struct plinth_vm_protect) == 24, "vm_protect");

struct plinth_vm_map_at {
    uint32_t memory;
    uint32_t permissions;
    uint64_t gpa;
    uint64_t bytes;
    uint64_t at;
};
_Static_assert(sizeof(struct plinth_vm_map_at) == 32, "vm_map_at");

struct plinth_vcpu_kick {
    uint32_t work;
    uint32_t reserved;
};
_Static_assert(sizeof(struct plinth_vcpu_kick) == 8, "vcpu_kick");

struct plinth_vcpu_fetch {
    uint32_t groups;
    uint32_t reserved;
};
_Static_assert(sizeof(struct plinth_vcpu_fetch) == 8, "vcpu_fetch");

struct plinth_vcpu_run {
    uint64_t reserved;
};
_Static_assert(sizeof(struct plinth_vcpu_run) == 8, "vcpu_run");

struct plinth_vcpu_intercept {
    uint32_t exceptions;
    uint32_t reserved;
};
_Static_assert(sizeof(struct plinth_vcpu_intercept) == 8, "vcpu_intercept");

struct plinth_port_read {
    uint32_t offset;
    uint32_t width;
    uint32_t value;
    uint32_t reserved;
};
_Static_assert(sizeof(struct plinth_port_read) == 16, "port_read");

struct plinth_port_write {
    uint32_t offset;
    uint32_t width;
    uint32_t value;
    uint32_t reserved;
};
_Static_assert(sizeof(struct plinth_port_write) == 16, "port_write");

struct plinth_interrupt_bind {
    uint32_t event;
    uint32_t reserved;
};
_Static_assert(sizeof(struct plinth_interrupt_bind) == 8, "interrupt_bind");

struct plinth_pci_read {
    uint32_t function;
    uint32_t offset;
    uint32_t value;
    uint32_t reserved;
};
_Static_assert(sizeof(struct plinth_pci_read) == 16, "pci_read");

struct plinth_pci_bars {
    uint32_t function;
    uint32_t reserved;
    uint32_t bytes0;
    uint32_t bytes1;
    uint32_t bytes2;
    uint32_t bytes3;
    uint32_t bytes4;
    uint32_t bytes5;
};
_Static_assert(sizeof(struct plinth_pci_bars) == 32, "pci_bars");

struct plinth_pci_claim {
    uint32_t function;
    uint32_t handle;
    uint32_t bar0;
    uint32_t bar1;
    uint32_t bar2;
    uint32_t bar3;
    uint32_t bar4;
    uint32_t bar5;
};
_Static_assert(sizeof(struct plinth_pci_claim) == 32, "pci_claim");

struct plinth_function_read {
    uint32_t offset;
    uint32_t value;
};
_Static_assert(sizeof(struct plinth_function_read) == 8, "function_read");

struct plinth_function_map {
    uint64_t address;
    uint64_t offset;
    uint64_t bytes;
    uint32_t bar;
    uint32_t reserved;
};
_Static_assert(sizeof(struct plinth_function_map) == 32, "function_map");

struct plinth_function_bind {
    uint32_t entry;
    uint32_t event;
};
_Static_assert(sizeof(struct plinth_function_bind) == 8, "function_bind");

struct plinth_function_enable {
    uint32_t enable;
    uint32_t reserved;
};
_Static_assert(sizeof(struct plinth_function_enable) == 8, "function_enable");

struct plinth_function_allocate {
    uint64_t address;
    uint64_t bytes;
    uint64_t physical;
};
_Static_assert(sizeof(struct plinth_function_allocate) == 24, "function_allocate");

struct plinth_channel_create {
    uint64_t key;
    uint32_t handle;
    uint32_t reserved;
};
_Static_assert(sizeof(struct plinth_channel_create) == 16, "channel_create");

struct plinth_shared_info {
    uint64_t bytes;
};
_Static_assert(sizeof(struct plinth_shared_info) == 8, "shared_info");

struct plinth_shared_map {
    uint64_t address;
    uint64_t offset;
    uint64_t bytes;
    uint32_t permissions;
    uint32_t reserved;
};
_Static_assert(sizeof(struct plinth_shared_map) == 32, "shared_map");

/* What SystemProcess writes. */

struct plinth_process_record {
    uint64_t serial;
    char name[PLINTH_PROCESS_NAME_BYTES];
    uint32_t state;
    uint32_t code;
    uint32_t threads;
    uint32_t handles;
    uint64_t memory_bytes;
    uint64_t run_tsc;
    uint32_t priority;
    uint32_t reserved;
};
_Static_assert(sizeof(struct plinth_process_record) == 64, "process_record");

#endif
