/* Numbers in from the command line, text out to the UART. */
.intel_syntax noprefix
.text
.globl number, token, print, print_number, print_char

/* number: RAX = the decimal number at RSI, which moves past it and the blanks before it; 0 at the end of the
   text. */
number:
    xor eax, eax
    xor ecx, ecx
1:  mov cl, [rsi]
    cmp cl, ' '
    jne 2f
    inc rsi
    jmp 1b
2:  mov cl, [rsi]
    sub cl, '0'
    cmp cl, 9
    ja 3f
    imul rax, rax, 10
    add rax, rcx
    inc rsi
    jmp 2b
3:  ret

/* token: RAX = the next word at RSI, which moves past it and the blanks before it: up to eight characters,
   then zeros. */
token:
    xor eax, eax
    xor ecx, ecx
1:  movzx edx, byte ptr [rsi]
    cmp dl, ' '
    jne 2f
    inc rsi
    jmp 1b
2:  movzx edx, byte ptr [rsi]
    cmp dl, ' '
    jbe 3f
    shl rdx, cl
    or rax, rdx
    add ecx, 8
    inc rsi
    cmp ecx, 64
    jb 2b
3:  ret

/* print: the text at RSI, up to its zero. */
print:
    mov al, [rsi]
    test al, al
    jz 1f
    call print_char
    inc rsi
    jmp print
1:  ret

/* print_number: a blank and RAX in decimal. */
print_number:
    lea rsi, digits_end[rip]
    mov ecx, 10
1:  xor edx, edx
    div rcx
    add dl, '0'
    dec rsi
    mov [rsi], dl
    test rax, rax
    jnz 1b
    dec rsi
    mov byte ptr [rsi], ' '
    jmp print

/* print_char: AL, when the transmitter is ready. */
print_char:
    push rdx
    push rax
1:  mov edx, 0x3fd
    in al, dx
    test al, 0x20
    jz 1b
    pop rax
    mov edx, 0x3f8
    out dx, al
    pop rdx
    ret

.data
digits:
    .skip 24
digits_end:
    .byte 0
