/* An ELF kernel that a loader starts by PVH (PROTOCOL 0), multiboot 1 or multiboot 2: it prints what it was
 * told on COM1, and resets the machine. */
.intel_syntax noprefix
.code32
.set COM1, 0x3f8
.set RESET_CONTROL, 0xcf9

#if PROTOCOL == 0
.section .note, "a", @note
    .long 4, 4, 18
    .asciz "Xen"
    .long start
.set BOOTED, 0
.set MAP_BASE, 0
.set MAP_SIZE, 8
.set MAP_KIND, 16
#elif PROTOCOL == 1
.section .header, "a"
.set MAGIC, 0x1badb002
.set FLAGS, 3                       /* modules in whole pages, memory */
.balign 4
    .long MAGIC, FLAGS, -(MAGIC + FLAGS)
.set BOOTED, 0x2badb002
.set MAP_BASE, 4
.set MAP_SIZE, 12
.set MAP_KIND, 20
#else
.section .header, "a"
.set MAGIC, 0xe85250d6
.balign 8
header:
    .long MAGIC, 0, header_end - header, -(MAGIC + header_end - header)
    .long 1, 12, 6, 0               /* the memory map is wanted */
    .long 0, 8
header_end:
.set BOOTED, 0x36d76289
.set MAP_BASE, 0
.set MAP_SIZE, 8
.set MAP_KIND, 16
#endif

.text
.globl start
start:
    mov esp, offset stack_top
    lea esi, text_magic
    cmp eax, BOOTED
    jne wrong
    lea esi, text_mode
    mov eax, cr0
    and eax, 0x80000001             /* PG, PE */
    cmp eax, 1
    jne wrong
    /* Its own selectors are as good as the loader's: they are flat. */
    lea esi, text_zero
    cmp dword ptr zero, 0
    jne wrong
    call read
    lea esi, text_line
    call print
    mov esi, command_line
    call print
    lea esi, text_module
    call print
    mov esi, module
    mov ecx, module_bytes
    call print_bytes
    /* The memory that this runs in is in the map, as RAM. */
    mov ebx, map
1:  lea esi, text_map
    cmp ebx, map_end
    jae wrong
    mov eax, offset start
    sub eax, [ebx + MAP_BASE]
    jb 2f
    cmp dword ptr [ebx + MAP_BASE + 4], 0
    jne 2f
    cmp eax, [ebx + MAP_SIZE]
    jae 2f
    cmp dword ptr [ebx + MAP_KIND], 1
    je 3f
2:  add ebx, map_step
    jmp 1b
3:  lea esi, text_done
    call print
end:
    mov edx, RESET_CONTROL
    mov al, 6
    out dx, al
    hlt
    jmp end

wrong:
    call print
    jmp end

/* Finds what was told, from EBX. */
read:
#if PROTOCOL == 0
    lea esi, text_magic
    cmp dword ptr [ebx], 0x336ec578
    jne wrong
    mov eax, [ebx + 24]
    mov command_line, eax
    mov edx, [ebx + 16]             /* of the modules, of which there is one */
    mov eax, [edx]
    mov module, eax
    mov eax, [edx + 8]
    mov module_bytes, eax
    mov eax, [ebx + 40]
    mov map, eax
    imul ecx, [ebx + 48], 24
    add eax, ecx
    mov map_end, eax
    mov dword ptr map_step, 24
#elif PROTOCOL == 1
    mov eax, [ebx + 16]
    mov command_line, eax
    mov edx, [ebx + 24]
    mov eax, [edx]
    mov module, eax
    mov ecx, [edx + 4]
    sub ecx, eax
    mov module_bytes, ecx
    mov eax, [ebx + 48]
    mov map, eax
    add eax, [ebx + 44]
    mov map_end, eax
    mov dword ptr map_step, 24
#else
    mov edx, ebx
    add edx, [ebx]
    add ebx, 8
1:  cmp ebx, edx
    jae 9f
    mov eax, [ebx]
    lea ecx, [ebx + 8]
    cmp eax, 1
    jne 2f
    mov command_line, ecx
2:  cmp eax, 3
    jne 3f
    mov esi, [ecx]
    mov module, esi
    mov edi, [ecx + 4]
    sub edi, esi
    mov module_bytes, edi
3:  cmp eax, 6
    jne 4f
    mov esi, [ecx]
    mov map_step, esi
    lea esi, [ecx + 8]
    mov map, esi
    mov esi, ebx
    add esi, [ebx + 4]
    mov map_end, esi
4:  mov eax, [ebx + 4]
    add eax, 7
    and eax, -8
    add ebx, eax
    jmp 1b
9:
#endif
    ret

/* ESI: text, up to a zero. */
print:
    lodsb
    test al, al
    jz 1f
    call print_char
    jmp print
1:  ret

/* ECX bytes from ESI on. */
print_bytes:
    jecxz 1f
    lodsb
    call print_char
    dec ecx
    jmp print_bytes
1:  ret

/* AL. */
print_char:
    push eax
    mov edx, COM1 + 5
1:  in al, dx
    test al, 0x20                   /* the transmitter is empty */
    jz 1b
    pop eax
    mov edx, COM1
    out dx, al
    ret

.section .rodata
text_magic: .asciz "WRONG: the loader's number\n"
text_mode: .asciz "WRONG: CR0\n"
text_zero: .asciz "WRONG: memory behind the file\n"
text_map: .asciz "WRONG: the memory map\n"
text_line: .asciz "told the line ["
text_module: .asciz "] and the module ["
text_done: .asciz "] and its memory\n"

.bss
.balign 16
zero: .skip 4
command_line: .skip 4
module: .skip 4
module_bytes: .skip 4
map: .skip 4
map_end: .skip 4
map_step: .skip 4
.skip 4096
stack_top:
