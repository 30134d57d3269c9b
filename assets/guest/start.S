/* Where a guest begins. In 64-bit mode %rsi points at boot_params; by PVH, in 32-bit mode without paging, %ebx points at
   hvm_start_info. guest_main gets the pointer and which of the two it is. */
    .section .text.start, "ax"
    .code64
    .globl _start
_start:
    cli
    cld
    mov $stack_top, %rsp
    xor %ebp, %ebp
    mov %rsi, %rdi
    xor %esi, %esi
    call guest_main
1:  hlt
    jmp 1b

#ifdef WITH_PVH
    .section .note.pvh, "a", @note
    .long 4, 8, 18              /* name, descriptor, XEN_ELFNOTE_PHYS32_ENTRY */
    .asciz "Xen"
    .quad pvh_start

    .section .text.start, "ax"
    .code32
    .globl pvh_start
pvh_start:
    cli
    cld
    mov $pvh_pd, %edi           /* the first GiB, by 2 MiB */
    mov $0x83, %eax
    mov $512, %ecx
2:  mov %eax, (%edi)
    movl $0, 4(%edi)
    add $0x200000, %eax
    add $8, %edi
    dec %ecx
    jnz 2b
    mov $pvh_pd, %eax
    or $3, %eax
    mov %eax, pvh_pdpt
    mov $pvh_pdpt, %eax
    or $3, %eax
    mov %eax, pvh_pml4
    mov $pvh_pml4, %eax
    mov %eax, %cr3
    mov %cr4, %eax
    or $0x20, %eax
    mov %eax, %cr4
    mov $0xc0000080, %ecx
    rdmsr
    or $0x100, %eax
    wrmsr
    lgdt pvh_gdt_ptr
    mov %cr0, %eax
    or $0x80000001, %eax
    mov %eax, %cr0
    ljmp $0x10, $pvh_long
    .code64
pvh_long:
    mov $0x18, %eax
    mov %eax, %ds
    mov %eax, %es
    mov %eax, %ss
    mov $stack_top, %rsp
    xor %ebp, %ebp
    mov %ebx, %edi
    mov $1, %esi
    call guest_main
3:  hlt
    jmp 3b

    .section .data
    .balign 8
pvh_gdt:
    .quad 0, 0, 0x00af9b000000ffff, 0x00cf93000000ffff
pvh_gdt_ptr:
    .word 31
    .long pvh_gdt
    .section .bss
    .balign 4096
pvh_pml4: .skip 4096
pvh_pdpt: .skip 4096
pvh_pd:   .skip 4096
#endif

    .section .bss
    .balign 16
    .skip 16384
stack_top:
    .section .note.GNU-stack, "", @progbits
