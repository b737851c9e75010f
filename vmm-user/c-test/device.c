/* A device in C, in a process of its own: a register of four bytes at port 538h, which keeps what is written.
   The example of docs/add-a-device.md. */
#include "plinth-device.h"
#include "plinth-runtime.h"

#define PORT 0x538u
#define BYTES 4u

/* The register, and the session in which the VMM speaks to it. */
static uint8_t bytes[BYTES];
static uint32_t session;

static void done(uint64_t *words, uint64_t value) {
    words[0] = PLINTH_DEVICE_DONE;
    words[1] = value;
    words[2] = PLINTH_DEVICE_NEVER;
    words[3] = 0;
}

/* An access that leaves the register was split by the VMM: this one does not. */
static uint64_t access_register(unsigned code, unsigned width, uint64_t port, uint64_t value) {
    uint64_t read = 0;
    for (unsigned i = 0; i < width; i++) {
        uint8_t *byte = &bytes[(port - PORT + i) % BYTES];
        if (code == PLINTH_DEVICE_PORT_WRITE) {
            *byte = (uint8_t)(value >> (8 * i));
        } else {
            read |= (uint64_t)*byte << (8 * i);
        }
    }
    return read;
}

static void claim(uint64_t *words) {
    if (words[1] != 0) {
        words[0] = PLINTH_DEVICE_NO_CLAIM;
        return;
    }
    words[0] = PLINTH_DEVICE_DONE | PLINTH_DEVICE_CLAIM_PORTS << 8;
    words[1] = PORT;
    words[2] = BYTES;
}

static void serve(uint64_t *words) {
    unsigned code = words[0] & 0xff, width = 1u << (words[0] >> 8 & 3);
    uint32_t caller = (uint32_t)(words[0] >> 32);
    if (code == PLINTH_DEVICE_GREET) {
        session = caller;
        done(words, PLINTH_DEVICE_VERSION);
    } else if (caller != session) {
        words[0] = PLINTH_DEVICE_STRANGER;
    } else if (code == PLINTH_DEVICE_CLAIM) {
        claim(words);
    } else if (code == PLINTH_DEVICE_PORT_READ || code == PLINTH_DEVICE_PORT_WRITE) {
        done(words, access_register(code, width, words[1], words[2]));
    } else if (code == PLINTH_DEVICE_LOOK) {
        done(words, 0);
    } else {
        words[0] = PLINTH_DEVICE_REFUSED;
    }
}

int plinth_program(const struct plinth_start *start) {
    uint32_t endpoint = plinth_handle(start, "endpoint");
    _Alignas(8) struct plinth_message message = {.deadline_tsc = UINT64_MAX};
    uint64_t what = 0, flags = 0;
    while (plinth_receive(endpoint, &message, flags, &what) == PLINTH_STATUS_OK) {
        flags = what == PLINTH_RECEIVED_CALL ? PLINTH_RECEIVE_REPLY : 0;
        if (flags != 0) {
            serve(message.words);
        }
        message.deadline_tsc = UINT64_MAX;
    }
    return 1;
}
