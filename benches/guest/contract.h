/* What the benchmark's guest expects of the machine it runs on, apart from a PC's own APIC and UART (3f8h): a
 * device of these ports and pages, which does nothing but take what is written and give a constant. */

/* A byte or doubleword register in user mode: writes are taken, reads give DEVICE_VALUE. */
#define PORT_DEVICE 0x900
/* A byte doorbell: KVM takes it in the kernel (ioeventfd). */
#define PORT_DOORBELL 0x910
/* Writing 1 asks that HLT ends at once from now on, without an interrupt; 0 takes that back. */
#define PORT_CONTROL 0x920

/* The same as registers in memory: a doubleword at the start of a page. */
#define MMIO_DEVICE 0xd0000000
#define MMIO_DOORBELL 0xd0001000

#define DEVICE_VALUE 0x5a

/* The end: the PC's reset register takes 6. */
#define PORT_RESET 0xcf9

/* The guest's rows come in groups; the third number of its command line ("ITERATIONS ROUNDS GROUPS [ROW]")
 * picks them. A fourth word picks one row, before which the guest prints START, for a profile; `-` picks all
 * of them. */
#define GROUP_APIC 1  /* needs an APIC, or nothing */
#define GROUP_HALT 2  /* HLT that ends at once: under KVM only without the in-kernel APIC */
#define GROUP_MSR 4   /* an MSR that nobody knows */
#define GROUP_TIMER 8 /* HLT, woken by the APIC's timer */

/* Vectors of the guest's own interrupts. */
#define VECTOR_IPI 0x40
#define VECTOR_TIMER 0x41
