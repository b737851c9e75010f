/* A process in C: its handles, a log line, what the machine is, and a batch that stops in the middle. */
#include "plinth-runtime.h"

#define LOG(log, text) plinth_log(log, text, sizeof(text) - 1)

/* The payload lies aligned to 8 in an operation that is. */
#define PAYLOAD(type, operation) ((struct plinth_##type *)(operation).payload)

static uint32_t log_handle;
static int failures;

static void expect(int holds, const char *what, size_t bytes) {
    if (!holds) {
        failures++;
        plinth_log(log_handle, what, bytes);
    }
}
#define EXPECT(condition) expect(condition, "FAILED: " #condition, sizeof("FAILED: " #condition) - 1)

static void system_info(uint32_t system) {
    _Alignas(8) struct plinth_operation ask = {.code = PLINTH_SYSTEM_INFO, .handle = system};
    uint64_t done = 0;
    EXPECT(plinth_batch(&ask, 1, &done) == PLINTH_STATUS_OK && done == 1);
    EXPECT(ask.status == PLINTH_STATUS_OK);
    EXPECT(PAYLOAD(system_info, ask)->tsc_hz > 1000000);
    EXPECT(PAYLOAD(system_info, ask)->cpus == 1);
    EXPECT(PAYLOAD(system_info, ask)->free_bytes < PAYLOAD(system_info, ask)->kept_bytes);
}

/* Three operations, the second on a handle that is none: with flags as given. */
static int32_t three(uint32_t system, uint32_t flags, struct plinth_operation *batch, uint64_t *index) {
    for (int i = 0; i < 3; i++) {
        batch[i] = (struct plinth_operation){.code = PLINTH_SYSTEM_INFO, .handle = system, .status = 1};
    }
    batch[1].handle = 0;
    batch[1].flags = flags;
    return plinth_batch(batch, 3, index);
}

static void batches(uint32_t system) {
    _Alignas(8) struct plinth_operation batch[3];
    uint64_t index = 99;
    EXPECT(three(system, 0, batch, &index) == PLINTH_STATUS_BAD_HANDLE && index == 1);
    EXPECT(batch[0].status == PLINTH_STATUS_OK && batch[1].status == PLINTH_STATUS_BAD_HANDLE);
    /* The third was not looked at. */
    EXPECT(batch[2].status == 1 && PAYLOAD(system_info, batch[2])->tsc_hz == 0);
    EXPECT(three(system, PLINTH_FLAG_CONTINUE, batch, &index) == PLINTH_STATUS_OK && index == 3);
    EXPECT(batch[1].status == PLINTH_STATUS_BAD_HANDLE && batch[2].status == PLINTH_STATUS_OK);
    EXPECT(plinth_batch(batch, 0, NULL) == PLINTH_STATUS_BAD_ARGUMENT);
    EXPECT(plinth_batch(batch, PLINTH_BATCH_MAX + 1, NULL) == PLINTH_STATUS_BAD_ARGUMENT);
}

/* The first process is init; the newest is this one. */
static void processes(uint32_t system) {
    struct plinth_process_record record = {0};
    _Alignas(8) struct plinth_operation ask;
    uint64_t serial = 0, memory = 0;
    int32_t status;
    do {
        ask = (struct plinth_operation){.code = PLINTH_SYSTEM_PROCESS, .handle = system};
        PAYLOAD(system_process, ask)->serial = serial;
        PAYLOAD(system_process, ask)->address = (uint64_t)&record;
        status = plinth_batch(&ask, 1, NULL);
        EXPECT(serial != 0 || (record.serial == 1 && record.name[0] == 'i' && record.name[4] == 0));
        serial = record.serial + 1;
        memory += record.memory_bytes;
    } while (status == PLINTH_STATUS_OK);
    EXPECT(status == PLINTH_STATUS_NOT_FOUND && memory > 0);
    EXPECT(record.name[0] == 'c' && record.state == 1 && record.threads == 1 && record.run_tsc > 0);
}

/* What was logged can be read by who may. */
static void log_read(uint32_t log) {
    char text[64] = "";
    _Alignas(8) struct plinth_operation ask = {.code = PLINTH_LOG_READ, .handle = log};
    PAYLOAD(log_read, ask)->address = (uint64_t)text;
    PAYLOAD(log_read, ask)->bytes = sizeof(text);
    EXPECT(plinth_batch(&ask, 1, NULL) == PLINTH_STATUS_OK);
    EXPECT(PAYLOAD(log_read, ask)->bytes == sizeof(text) && PAYLOAD(log_read, ask)->lost == 0);
    EXPECT(PAYLOAD(log_read, ask)->end > sizeof(text) && text[0] == '[');
}

/* An operation on a handle; its payload afterwards. */
static void *operate(struct plinth_operation *operation, uint32_t code, uint32_t handle) {
    operation->code = code;
    operation->handle = handle;
    EXPECT(plinth_batch(operation, 1, NULL) == PLINTH_STATUS_OK);
    return operation->payload;
}

/* Nobody serves the channel; an event that is bound to its endpoint comes as a notification. */
static void channels(void) {
    _Alignas(8) struct plinth_operation made[3] = {0}, bind = {0}, signal = {0};
    struct plinth_endpoint_create *endpoint = operate(&made[0], PLINTH_ENDPOINT_CREATE, PLINTH_HANDLE_SELF);
    struct plinth_event_create *event = operate(&made[1], PLINTH_EVENT_CREATE, PLINTH_HANDLE_SELF);
    struct plinth_channel_create *channel = operate(&made[2], PLINTH_CHANNEL_CREATE, endpoint->handle);
    struct plinth_message message = {.deadline_tsc = 1, .words = {5}};
    EXPECT(plinth_call(channel->handle, &message) == PLINTH_STATUS_TIMED_OUT && message.words[0] == 5);
    EXPECT(plinth_call(endpoint->handle, &message) == PLINTH_STATUS_BAD_HANDLE);
    *PAYLOAD(event_bind_endpoint, bind) =
        (struct plinth_event_bind_endpoint){.endpoint = endpoint->handle, .key = 77};
    operate(&bind, PLINTH_EVENT_BIND_ENDPOINT, event->handle);
    operate(&signal, PLINTH_EVENT_SIGNAL, event->handle);
    uint64_t what = 99;
    EXPECT(plinth_receive(endpoint->handle, &message, 0, &what) == PLINTH_STATUS_OK);
    EXPECT(what == PLINTH_RECEIVED_NOTIFICATION && message.key == 77 && message.words[0] == 0);
    message.deadline_tsc = 0;
    EXPECT(plinth_receive(endpoint->handle, &message, PLINTH_RECEIVE_REPLY, NULL) == PLINTH_STATUS_TIMED_OUT);
}

/* A page that others could map too: it stays while it is mapped, though its handle is closed. */
static void shared_memory(void) {
    const uint64_t address = 0x500000000000;
    _Alignas(8) struct plinth_operation made = {0}, map = {0}, close = {0}, unmap = {0};
    PAYLOAD(shared_create, made)->bytes = PLINTH_PAGE_BYTES;
    struct plinth_shared_create *shared = operate(&made, PLINTH_SHARED_CREATE, PLINTH_HANDLE_SELF);
    *PAYLOAD(shared_map, map) =
        (struct plinth_shared_map){.address = address,
                                   .bytes = PLINTH_PAGE_BYTES,
                                   .permissions = PLINTH_PERMISSION_READ | PLINTH_PERMISSION_WRITE};
    operate(&map, PLINTH_SHARED_MAP, shared->handle);
    PAYLOAD(handle_close, close)->handle = shared->handle;
    operate(&close, PLINTH_HANDLE_CLOSE, PLINTH_HANDLE_SELF);
    volatile uint64_t *word = (uint64_t *)address;
    EXPECT(*word == 0);
    *word = 5;
    EXPECT(*word == 5);
    *PAYLOAD(process_unmap, unmap) =
        (struct plinth_process_unmap){.address = address, .bytes = PLINTH_PAGE_BYTES};
    operate(&unmap, PLINTH_PROCESS_UNMAP, PLINTH_HANDLE_SELF);
}

int plinth_program(const struct plinth_start *start) {
    uint32_t system = plinth_handle(start, "system");
    log_handle = plinth_handle(start, "log");
    EXPECT(system != 0 && log_handle != 0 && plinth_handle(start, "nothing") == 0);
    EXPECT(LOG(log_handle, "a line from C") == PLINTH_STATUS_OK);
    EXPECT(LOG(system, "not a log") == PLINTH_STATUS_BAD_HANDLE);
    system_info(system);
    batches(system);
    processes(system);
    log_read(log_handle);
    channels();
    shared_memory();
    if (failures == 0) {
        LOG(log_handle, "C: 0 failures");
    }
    _Alignas(8) struct plinth_operation end = {.code = PLINTH_SYSTEM_END, .handle = system};
    PAYLOAD(system_end, end)->reason = failures == 0 ? PLINTH_END_TESTS_PASSED : PLINTH_END_TESTS_FAILED;
    plinth_batch(&end, 1, NULL);
    /* Not reached: the machine has ended. */
    plinth_exit(1);
}
