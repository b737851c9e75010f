/* Does each accepted instruction do to a device what it does to memory?
 *
 * A table of cases (decoder/oracle/src/native/guest_table.rs; the initial RAM disk) is run in user mode. Each
 * case runs twice with the same registers and contents of memory at the same linear addresses: first with
 * four pages of memory there, which the processor reaches by itself, then with a device that behaves like
 * memory (vmm-user/vmm/src/board/memory.rs), or with pages of both by turns, so that operands cross from one
 * to the other. What must agree is how it ends, RIP, registers, flags but undefined ones, XMM registers and
 * memory. Some cases are single-stepped. LMSW, which is the kernel's, is tried by itself. Prints "FORMS bits
 * cases skipped differences" for each code size, and before it what differed. */

typedef unsigned char u8;
typedef unsigned int u32;
typedef unsigned long u64;

#define PAGE 4096UL
#define CODE 0x10000000UL       /* as in mapping.rs: a page of code, */
#define DATA 0x20000000UL       /* and of data the pages 1 to 4 */
#define FIRST (DATA + PAGE)
#define BYTES (4 * PAGE)
#define ALIAS 0x30000000UL      /* what a case's second run has at FIRST, for the kernel */
#define DEVICE 0xd0100000UL
#define PORT 0x930
#define BREAKPOINT 3
#define SINGLE_STEP 1
#define FLAG_TF 0x100UL

#define TOLD 12                 /* differences told of in each code size */
/* Around what is filled; what a case may reach by bit offsets and repetition. */
#define MARGIN 128
#define LEGACY 4                /* one in so many cases of 32- and 16-bit code is also run in legacy mode */
#define SWEEP 512               /* cases between two looks at all of it */

#define NEEDS_CX16 1
#define USES_PORT 2

struct fill { u64 address; u8 bytes[32]; } __attribute__((packed));

/* As `record` of guest_table.rs writes it. */
struct record {
    u8 mode, mapping, needs, length, fills, clears_upper_halves, reserved[2];
    u8 code[16];
    u64 gprs[16], rip, rflags, cs, ss, ds, es, gs, gs_base, compared_flags, code_address, xmm_seed;
    struct fill fill[4];
} __attribute__((packed));

struct table { u64 magic, cases, ldt[16]; struct record records[]; };

/* As mmio-forms.S has it. */
struct state {
    u64 gprs[16], rip, rflags, cs, ss, ds, es, gs, gs_base, vector, error, cr2, dr6;
    u64 xmm[32];
};

extern u64 ldt[16];
extern const u8 stubs32[];
extern u64 idt[], events_seen;
extern const u8 skip_ud2[], count_event[];
extern u64 run_on_stack(u64 top);
void run_case(struct state *);
void run_case_legacy(struct state *);
void run_table(const u8 *boot_params);
void report_own_fault(u64 vector, u64 rip, u64 cr2);

u64 idt32[32];
u64 level4[512] __attribute__((aligned(4096))), level3_legacy[4] __attribute__((aligned(32)));
static u64 level3[512] __attribute__((aligned(4096)));
static u64 level2[4][512] __attribute__((aligned(4096)));
static u64 code_table[512] __attribute__((aligned(4096))), data_table[512] __attribute__((aligned(4096)));
static u64 alias_table[512] __attribute__((aligned(4096)));
static u8 code_page[PAGE] __attribute__((aligned(4096)));
static u8 memory[BYTES] __attribute__((aligned(4096)));    /* the first run's pages */
static u8 between[BYTES] __attribute__((aligned(4096)));   /* pages of memory among the second run's */
static u8 window[BYTES];

/* Which of the second run's pages are the device's, by `mapping`. */
static const u8 device_pages[3] = { 0xf, 0xa, 0x5 };

static const char *const names[16] = { "rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
    "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15" };

static u8 in8(u32 port) { u8 v; __asm__ volatile("in al, dx" : "=a"(v) : "d"(port)); return v; }
static void out8(u32 port, u8 v) { __asm__ volatile("out dx, al" ::"a"(v), "d"(port)); }
static u32 in32(u32 port) { u32 v; __asm__ volatile("in eax, dx" : "=a"(v) : "d"(port)); return v; }
static void out32(u32 port, u32 v) { __asm__ volatile("out dx, eax" ::"a"(v), "d"(port)); }

static void copy(void *to, const void *from, u64 bytes)
{
    __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(bytes)::"memory");
}

/* The same in quadwords, which a device takes 64 of in one exit. */
static void copy_words(void *to, const void *from, u64 bytes)
{
    u64 words = bytes / 8;
    __asm__ volatile("rep movsq" : "+D"(to), "+S"(from), "+c"(words)::"memory");
}

static void put(char c)
{
    while (!(in8(0x3fd) & 0x20))
        ;
    out8(0x3f8, (u8)c);
}

static void text(const char *s)
{
    while (*s)
        put(*s++);
}

static void hex(u64 value)
{
    int digits = 1;
    while (digits < 16 && value >> (4 * digits))
        digits++;
    while (digits--)
        put("0123456789abcdef"[value >> (4 * digits) & 15]);
}

static void decimal(u64 value)
{
    if (value >= 10)
        decimal(value / 10);
    put((char)('0' + value % 10));
}

static u64 address_of(const void *p) { return (u64)p; }

static void flush(void)
{
    __asm__ volatile("mov cr3, %0" ::"r"(address_of(level4)) : "memory");
}

/* Gates of legacy mode, for user code too: 32-bit interrupt gates to the kernel's 32-bit code. */
static void describe_legacy(void)
{
    for (u64 i = 0; i < 32; i++) {
        u64 stub = address_of(stubs32 + 16 * i);
        idt32[i] = (stub & 0xffff) | 24UL << 16 | 0xee00UL << 32 | stub >> 16 << 48;
    }
}

/* Four GiB by identity, the kernel's; code and data in user mode's reach, and the other name of the second
   run's data. */
static void map(void)
{
    level4[0] = address_of(level3) | 7;
    for (u64 i = 0; i < 4; i++) {
        level3[i] = address_of(level2[i]) | 7;
        level3_legacy[i] = address_of(level2[i]) | 1;
        for (u64 j = 0; j < 512; j++)
            level2[i][j] = (i << 30 | j << 21) | 0xe3;
    }
    level2[0][CODE >> 21] = address_of(code_table) | 7;
    level2[0][DATA >> 21] = address_of(data_table) | 7;
    level2[0][ALIAS >> 21] = address_of(alias_table) | 7;
    code_table[0] = address_of(code_page) | 7;
    flush();
}

static u64 second_page(u8 mapping, u64 page)
{
    return device_pages[mapping] >> page & 1 ? DEVICE + page * PAGE : address_of(between) + page * PAGE;
}

/* What the data's pages are in a run. Accessed and dirty bits are for whoever walks the tables to set. */
static void point(u64 *table, u64 first, int second, u8 mapping)
{
    for (u64 page = 0; page < 4; page++)
        table[first + page] = (second ? second_page(mapping, page) : address_of(memory) + page * PAGE) | 7;
    flush();
}

static int has_cx16(void)
{
    u32 a = 1, b, c = 0, d;
    __asm__ volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
    return c >> 13 & 1;
}

/* The part of a fill's bytes, or of what is around them, that lies in the data: its offset there and its
   end. */
static void clip(const struct fill *fill, u64 margin, u64 *start, u64 *end)
{
    u64 from = fill->address - margin - FIRST, to = fill->address + sizeof fill->bytes + margin - FIRST;
    *start = (long)from < 0 ? 0 : from;
    *end = (long)to < 0 ? 0 : to;
    if (*start > BYTES)
        *start = BYTES;
    if (*end > BYTES)
        *end = BYTES;
}

static void fill_both(const struct record *record)
{
    for (u64 i = 0; i < record->fills; i++) {
        const struct fill *fill = &record->fill[i];
        u64 start, end;
        clip(fill, 0, &start, &end);
        if (start < end) {
            const u8 *from = fill->bytes + (FIRST + start - fill->address);
            copy(memory + start, from, end - start);
            ((end - start) % 8 ? copy : copy_words)((u8 *)ALIAS + start, from, end - start);
        }
    }
}

/* Registers, and the code with a breakpoint behind it. */
static void prepare(const struct record *record, struct state *state)
{
    u64 seed = record->xmm_seed;
    copy(state->gprs, record->gprs, sizeof state->gprs);
    state->rip = record->rip, state->rflags = record->rflags;
    state->cs = record->cs, state->ss = record->ss, state->ds = record->ds, state->es = record->es;
    state->gs = record->gs, state->gs_base = record->gs_base;
    state->vector = state->error = state->cr2 = 0;
    for (u64 i = 0; i < 32; i++)
        state->xmm[i] = seed = seed * 6364136223846793005UL + 1442695040888963407UL;
    copy(code_page + record->code_address - CODE, record->code, record->length);
    code_page[record->code_address - CODE + record->length] = 0xcc;
}

static u64 run(const struct record *record, struct state *state, int second, int legacy)
{
    u64 port = 0;
    prepare(record, state);
    point(data_table, 1, second, record->mapping);
    if (record->needs & USES_PORT)
        out32(PORT, 0x5a96c33c);
    __asm__ volatile("mov dr6, %0" ::"r"(0UL));
    (legacy ? run_case_legacy : run_case)(state);
    __asm__ volatile("mov %0, dr6" : "=r"(state->dr6));
    if (record->needs & USES_PORT)
        port = in32(PORT);
    return port;
}

/* What differs, if anything: its name, and both values. */
struct difference { const char *what; u64 place, expected, found; };

static struct difference none(void) { return (struct difference){ 0, 0, 0, 0 }; }

static u64 compared_bits(const struct record *record, u64 number)
{
    /* As `compared` of compare.rs. */
    int is_string_register = number == 1 || number == 6 || number == 7;
    return record->mode || (record->clears_upper_halves && is_string_register) ? 0xffffffff : ~0UL;
}

static struct difference compare_states(const struct record *record, const struct state *a,
                                        const struct state *b)
{
    u64 end = record->rflags & FLAG_TF ? SINGLE_STEP : BREAKPOINT;
    if (a->vector != end || b->vector != end)
        return (struct difference){ "vector", a->error ^ b->error, a->vector, b->vector };
    if (a->dr6 != b->dr6)
        return (struct difference){ "dr6", 0, a->dr6, b->dr6 };
    if (a->rip != b->rip)
        return (struct difference){ "rip", 0, a->rip, b->rip };
    for (u64 i = 0; i < 16; i++)
        if ((a->gprs[i] ^ b->gprs[i]) & compared_bits(record, i))
            return (struct difference){ names[i], 0, a->gprs[i], b->gprs[i] };
    if ((a->rflags ^ b->rflags) & record->compared_flags)
        return (struct difference){ "flags", 0, a->rflags, b->rflags };
    for (u64 i = 0; i < 32; i++)
        if (a->xmm[i] != b->xmm[i])
            return (struct difference){ "xmm, half", i, a->xmm[i], b->xmm[i] };
    return none();
}

/* Memory against the second run's, from one offset to another, which is read by a string instruction or by
   plain moves. */
static struct difference compare_data(u64 start, u64 end, int plainly)
{
    const volatile u64 *second = (const volatile u64 *)ALIAS;
    start &= ~7UL, end = (end + 7) & ~7UL;
    if (plainly) {
        for (u64 i = start / 8; i < end / 8; i++)
            ((u64 *)window)[i] = second[i];
    } else {
        copy_words(window + start, (u8 *)ALIAS + start, end - start);
    }
    for (u64 i = start; i < end; i++)
        if (window[i] != memory[i])
            return (struct difference){ "memory", FIRST + i, memory[i], window[i] };
    return none();
}

static void tell(const struct record *record, u64 number, const struct difference *d)
{
    text("DIFFERENCE case ");
    decimal(number);
    text(" mode ");
    decimal(record->mode);
    text(" mapping ");
    decimal(record->mapping);
    text(" code");
    for (u64 i = 0; i < record->length; i++) {
        text(record->code[i] < 16 ? " 0" : " ");
        hex(record->code[i]);
    }
    text(": ");
    text(d->what);
    put(' ');
    hex(d->place);
    text(" expected ");
    hex(d->expected);
    text(" found ");
    hex(d->found);
    put('\n');
}

static struct difference one(const struct record *record, int legacy)
{
    struct state first, second;
    fill_both(record);
    u64 port = run(record, &first, 0, legacy), port_after = run(record, &second, 1, legacy);
    struct difference difference = compare_states(record, &first, &second);
    if (!difference.what && port != port_after)
        difference = (struct difference){ "port", PORT, port, port_after };
    for (u64 i = 0; i < record->fills && !difference.what; i++) {
        u64 start, end;
        clip(&record->fill[i], MARGIN, &start, &end);
        if (start < end)
            difference = compare_data(start, end, 0);
    }
    return difference;
}

static void summary(const char *what, u8 mode, u64 cases, u64 skipped, u64 differences)
{
    text(what);
    decimal(64 >> mode);
    const u64 counts[3] = { cases, skipped, differences };
    for (u64 i = 0; i < 3; i++) {
        put(' ');
        decimal(counts[i]);
    }
    put('\n');
}

/* The cases of one code size, which follow each other, or some of them in legacy mode; returns the number of
   the next. */
static u64 run_mode(const struct table *table, u64 number, int legacy)
{
    u8 mode = table->records[number].mode, mapping = 0xff;
    u64 cases = 0, skipped = 0, differences = 0;
    for (; number < table->cases && table->records[number].mode == mode; number++) {
        const struct record *record = &table->records[number];
        if (legacy && number % LEGACY)
            continue;
        if (record->mapping != mapping) {
            mapping = record->mapping;
            point(alias_table, 0, 1, mapping);
            copy_words((u8 *)ALIAS, memory, BYTES);
        }
        if (record->needs & NEEDS_CX16 && !has_cx16()) {
            skipped++;
            continue;
        }
        cases++;
        struct difference difference = one(record, legacy);
        if (!difference.what && cases % SWEEP == 0)
            difference = compare_data(0, BYTES, 0);
        if (difference.what) {
            if (differences++ < TOLD)
                tell(record, number, &difference);
            /* What comes next is not to blame. */
            copy_words((u8 *)ALIAS, memory, BYTES);
        }
    }
    struct difference last = compare_data(0, BYTES, 1);
    if (last.what) {
        differences++;
        tell(&table->records[number - 1], number - 1, &last);
    }
    summary(legacy ? "LEGACY " : "FORMS ", mode, cases, skipped, differences);
    return number;
}

/* LMSW from memory and from the device, in 64-bit code. */
static void status_words(void)
{
    static const unsigned short words[6] = { 1, 3, 8, 0xfff9, 0xfff0, 0xb };
    u64 before, cr0[2], cases = 0, differences = 0;
    __asm__ volatile("mov %0, cr0" : "=r"(before));
    for (u64 i = 0; i < 6; i++) {
        volatile unsigned short *places[2] = {
            (unsigned short *)(memory + 2 * i), (unsigned short *)(DEVICE + 2 * i)
        };
        for (u64 j = 0; j < 2; j++) {
            *places[j] = words[i];
            __asm__ volatile("lmsw word ptr [%1]\n mov %0, cr0" : "=r"(cr0[j]) : "r"(places[j]) : "memory");
            __asm__ volatile("mov cr0, %0" ::"r"(before));
        }
        cases++;
        differences += cr0[0] != cr0[1];
    }
    text("LMSW ");
    decimal(cases);
    put(' ');
    decimal(differences);
    put('\n');
}

/* Exceptions and interrupts delivered onto a stack that lies on the device, and what else uses it there. */
static void device_stack(void)
{
    static const struct { u64 vector; const u8 *handler; } gates[3] = {
        { 6, skip_ud2 }, { BREAKPOINT, count_event }, { 0x1e, count_event }
    };
    u64 kept[3][2], result;
    for (u64 i = 0; i < 3; i++) {
        u64 *gate = idt + 2 * gates[i].vector, at = (u64)gates[i].handler;
        copy(kept[i], gate, sizeof kept[i]);
        gate[0] = (at & 0xffff) | 8UL << 16 | 0x8eUL << 40 | (at & 0xffff0000UL) << 32;
        gate[1] = at >> 32;
    }
    result = run_on_stack(DEVICE + PAGE);
    for (u64 i = 0; i < 3; i++)
        copy(idt + 2 * gates[i].vector, kept[i], sizeof kept[i]);
    text("STACK ");
    decimal(events_seen);
    put(' ');
    hex(result);
    put('\n');
}

void report_own_fault(u64 vector, u64 rip, u64 cr2)
{
    const u64 values[3] = { vector, rip, cr2 };
    text("OWN FAULT");
    for (u64 i = 0; i < 3; i++) {
        put(' ');
        hex(values[i]);
    }
    put('\n');
}

void run_table(const u8 *boot_params)
{
    const struct table *table = (const struct table *)(u64) * (const u32 *)(boot_params + 0x218);
    u64 number = 0;
    map();
    describe_legacy();
    if (table->magic != 0x4d524f464f494d4dUL) {
        text("no table\n");
        return;
    }
    copy(ldt, table->ldt, sizeof table->ldt);
    while (number < table->cases) {
        u64 next = run_mode(table, number, 0);
        if (table->records[number].mode)
            run_mode(table, number, 1);
        number = next;
    }
    status_words();
    device_stack();
    text("FORMS end\n");
}
