/* The runtime of a process in C. Link with libplinth_c.a and vmm-user/user.ld. */
#ifndef PLINTH_RUNTIME_H
#define PLINTH_RUNTIME_H

#include "plinth.h"

struct plinth_start;

/* The program, which the process's author writes; its result is the process's exit code. */
int plinth_program(const struct plinth_start *start);

/* Executes operations; a status. To *index, unless it is NULL: how many were done, or which one stopped the
   batch. */
int32_t plinth_batch(struct plinth_operation *operations, size_t count, uint64_t *index);
/* Calls over a channel; a status. The reply is in *message afterwards. */
int32_t plinth_call(uint32_t channel, struct plinth_message *message);
/* Receives at an endpoint, after a reply with *message if flags are PLINTH_RECEIVE_REPLY; a status. To *what,
   unless it is NULL: what is in *message then, PLINTH_RECEIVED_*. */
int32_t plinth_receive(uint32_t endpoint, struct plinth_message *message, uint64_t flags, uint64_t *what);
/* Logs a line for information; a status. */
int32_t plinth_log(uint32_t log, const char *text, size_t bytes);
/* The handle of that name, or 0. */
uint32_t plinth_handle(const struct plinth_start *start, const char *name);
/* Ends the process. */
_Noreturn void plinth_exit(uint32_t code);

#endif
