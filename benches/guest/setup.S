/* The Linux boot protocol's header (Documentation/arch/x86/boot.rst of Linux): 64-bit entry only, at a fixed
   address. */
.section .setup, "a"
header:
.org header + 0x1f1
    .byte 1                         /* setup_sects: one, after the boot sector */
    .word 0                         /* root_flags */
    .long image_paragraphs           /* syssize */
    .word 0, 0, 0                   /* ram_size, vid_mode, root_dev */
    .word 0xaa55                    /* boot_flag */
    .byte 0xeb, 0x6a                /* jump: over the header, whose end it tells */
    .ascii "HdrS"
    .word 0x020f                    /* version */
    .long 0                         /* realmode_swtch */
    .word 0, 0                      /* start_sys_seg, kernel_version */
    .byte 0                         /* type_of_loader */
    .byte 1                         /* loadflags: LOADED_HIGH */
    .word 0                         /* setup_move_size */
    .long 0x100000                  /* code32_start */
    .long 0, 0, 0                   /* ramdisk_image, ramdisk_size, bootsect_kludge */
    .word 0, 0                      /* heap_end_ptr, ext_loader_ver and _type */
    .long 0                         /* cmd_line_ptr */
    .long 0x7fffffff                /* initrd_addr_max */
    .long 0x1000                    /* kernel_alignment */
    .byte 0, 12                     /* relocatable_kernel, min_alignment */
    .word 1                         /* xloadflags: XLF_KERNEL_64 */
    .long 255                       /* cmdline_size */
    .long 0                         /* hardware_subarch */
    .quad 0                         /* hardware_subarch_data */
    .long 0, 0                      /* payload_offset, payload_length */
    .quad 0                         /* setup_data */
    .quad 0x100000                  /* pref_address */
    .long memory_bytes              /* init_size */
    .long 0, 0                      /* handover_offset, kernel_info_offset */
.org header + 0x400
