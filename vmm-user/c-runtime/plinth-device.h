/* What the VMM says to a device in a process of its own, and the answers: vmm-user/device-link has the same
   in Rust, and a test of it compares the numbers here. They are the first four `words` of plinth_message. */
#ifndef PLINTH_DEVICE_H
#define PLINTH_DEVICE_H

#include <stdint.h>

#define PLINTH_DEVICE_VERSION 3

/* Word 0 of a request: the code, the width in bits 9:8 (1, 2, 4 or 8 bytes), the session in bits 63:32. Word
   1: port, offset, index of a claim, or version. Word 2: the value to write. Word 3: guest time in
   nanoseconds. */
#define PLINTH_DEVICE_GREET 1
#define PLINTH_DEVICE_CLAIM 2
#define PLINTH_DEVICE_PORT_READ 3
#define PLINTH_DEVICE_PORT_WRITE 4
#define PLINTH_DEVICE_MMIO_READ 5
#define PLINTH_DEVICE_MMIO_WRITE 6
#define PLINTH_DEVICE_LOOK 7

/* Word 0 of an answer: the code, the number of line changes in bits 15:8. Word 1: the value read, no wider
   than the access; 0 if nothing was read. Word 2: when to be asked to LOOK, in guest time. Word 3: line
   changes, a byte each: the level in bit 7, the line in bits 6:0; zeros behind them. */
#define PLINTH_DEVICE_DONE 1
#define PLINTH_DEVICE_STRANGER 2
#define PLINTH_DEVICE_NO_CLAIM 3
#define PLINTH_DEVICE_REFUSED 4
#define PLINTH_DEVICE_NEVER UINT64_MAX

/* Kinds of claim, in bits 15:8 of an answer's word 0; words 1 and 2 say what is claimed. */
#define PLINTH_DEVICE_CLAIM_PORTS 1
#define PLINTH_DEVICE_CLAIM_RANGE 2
#define PLINTH_DEVICE_CLAIM_LINE 3
#define PLINTH_DEVICE_CLAIM_TIMER 4

#endif
