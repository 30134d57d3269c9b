/* The guest of the tests: does what `t=` on its command line names. Each says what it found and ends by a reset. */
#include "lib.h"

static u8 room[8192] __attribute__((aligned(4096)));
static u8 data[4096] __attribute__((aligned(4096)));

static void hello(void) { puts(boot.pvh ? "hello by pvh\n" : "hello by linux\n"); }
static void cmdline(void) { puts(boot.cmdline), puts("\n"); }
static void e820(void) {
    for (u32 i = 0; i < boot.e820_count; i++) {
        const u8 *e = boot.e820 + 20 * i;
        puthex(*(const u64 *)e), puts(" "), puthex(*(const u64 *)(e + 8)), puts(" "), putdec(*(const u32 *)(e + 16)), puts("\n");
    }
}
static void initrd(void) {
    u64 at, len;
    if (boot.pvh) {
        const u8 *m = (const u8 *)*(const u64 *)(boot.params + 16);
        if (!*(const u32 *)(boot.params + 12)) { puts("none\n"); return; }
        at = *(const u64 *)m, len = *(const u64 *)(m + 8);
    } else {
        at = *(const u32 *)(boot.params + 0x218), len = *(const u32 *)(boot.params + 0x21c);
    }
    u64 sum = 0;
    for (u64 i = 0; i < len; i++) sum = sum * 31 + ((const u8 *)at)[i];
    putdec(len), puts(" "), puthex(sum), puts(at % 4096 ? " unaligned\n" : "\n");
}
/* Says every line again, until an empty one. */
static void echo(void) {
    interrupts_init();
    puts("ready\n");
    for (u32 n = 0;;) {
        int c = getc();
        if (c != '\n') { putc((char)c), n++; continue; }
        if (!n) return;
        putc('\n'), n = 0;
    }
}
/* Reads bytes by interrupt and says how many and what sum, when one of 0 comes. */
static void count(void) {
    interrupts_init();
    puts("ready\n");
    u64 n = 0, sum = 0;
    for (int c; (c = getc()) != 0; n++) sum = sum * 31 + (u64)c;
    putdec(n), puts(" "), puthex(sum), puts("\n");
}
static void tick(void) {
    interrupts_init();
    pit_init(1000);
    while (ticks < 20) hlt();
    puts("20 ticks\n");
}
static void flood(void) {
    for (u32 i = 0; i < 4000; i++) putdec(i), putc(i % 10 == 9 ? '\n' : ' ');
    puts("end\n");
}
static void triple(void) {
    struct { u16 limit; u64 base; } __attribute__((packed)) none = {0, 0};
    puts("going\n");
    __asm__ volatile("lidt %0\n\tud2" ::"m"(none));
}
/* Runs instructions where no memory is: what no KVM can do. */
static void nowhere(void) {
    puts("going\n");
    map_gib(0xc0000000);
    ((void (*)(void))0xc8000000)();
}
static void spin(void) { puts("spinning\n"); for (;;) barrier(); }
static void halt(void) { puts("halting\n"); cli(); for (;;) hlt(); }
static void idle(void) { interrupts_init(); puts("idle\n"); for (;;) sti_hlt(); }
/* Counts in memory while it runs, and says the count for each byte that comes. */
static void counter(void) {
    static volatile u64 n;
    interrupts_init();
    puts("counting\n");
    for (;;) {
        n++;
        int c = getc_now();
        if (c == '?') puts("at "), putdec(n), puts("\n");
        if (c == '.') return;
    }
}
/* Each port and each address that nothing answers: all bits set, and no harm. */
static void holes(void) {
    map_gib(0xc0000000);
    u64 bad = 0;
    for (u32 p = 0x400; p < 0xcf8; p += 61) { outb((u16)p, 1); if (inb((u16)p) != 0xff) bad++; }
    for (u64 a = 0xe0000000; a < 0xe0010000; a += 4092) { wr32(a, 7); if (rd32(a) != 0xffffffff) bad++; }
    putdec(bad), puts(" wrong\n");
}
static void keyboard(void) {
    static const char *names[] = {"ctrl", "alt", "del"};
    (void)names;
    puts("waiting\n");
    u64 sum = 0;
    for (u32 n = 0; n < 3;) if (inb(0x64) & 1) sum = sum << 8 | inb(0x60), n++;
    puthex(sum), puts("\n");
}
static struct vdev dev;
static struct vq q;
static int blk_up(u64 want) {
    map_gib(0xc0000000);
    if (!vdev_find(2, 0, &dev)) { puts("no drive\n"); return 0; }
    if (!vdev_begin(&dev, want) || !vdev_queue(&dev, 0, 16, &q, room)) { puts("no queue\n"); return 0; }
    vdev_ready(&dev);
    return 1;
}
static u64 sum_of(const u8 *p, u64 n) { u64 s = 0; while (n--) s = s * 31 + *p++; return s; }
/* Reads sector 1, writes it to sector 2 with every bit turned. */
static void blk(void) {
    if (!blk_up(0)) return;
    putdec(rd32(dev.base + 0x100)), puts(" sectors\n");
    putdec((u64)blk_io(&dev, &q, 0, 1, data)), puts(" "), puthex(sum_of(data, 512)), puts("\n");
    for (u32 i = 0; i < 512; i++) data[i] = (u8)~data[i];
    putdec((u64)blk_io(&dev, &q, 1, 2, data)), puts("\n");
    putdec((u64)blk_io(&dev, &q, 0, 1ul << 40, data)), puts("\n");
}
static volatile u64 blk_irqs;
static void blk_irq(int irq) {
    (void)irq;
    wr32(dev.base + 0x64, rd32(dev.base + 0x60));
    blk_irqs++;
}
/* The same by interrupt, halted meanwhile. */
static void blkirq(void) {
    if (!blk_up(0)) return;
    interrupts_init();
    irq_set((int)dev.irq, blk_irq);
    static struct { u32 type, reserved; u64 sector; } head;
    static volatile u8 status;
    for (u32 i = 0; i < 8; i++) {
        head.sector = i, status = 255;
        q.desc[0] = (struct vq_desc){(u64)&head, 16, VQ_NEXT, 1};
        q.desc[1] = (struct vq_desc){(u64)data, 512, VQ_NEXT | VQ_WRITE, 2};
        q.desc[2] = (struct vq_desc){(u64)&status, 1, VQ_WRITE, 0};
        vq_push(&q, 0);
        for (;;) {
            cli();
            if (q.used->idx != q.seen) break;
            sti_hlt();
        }
        q.seen++;
        sti();
        if (status) puts("failed\n");
    }
    puts(blk_irqs ? "8 read by interrupt\n" : "no interrupt\n");
}
/* A ring that is wrong in the way that `how=` says; afterwards the device has to answer a good request again or to say
   that it needs a reset, and the machine to live on. */
static void hostile(void) {
    char how[16];
    if (!blk_up(0) || !cmdline_get("how", 0, how, sizeof how)) return;
    static struct { u32 type, reserved; u64 sector; } head;
    static volatile u8 status;
    q.desc[0] = (struct vq_desc){(u64)&head, 16, VQ_NEXT, 1};
    q.desc[1] = (struct vq_desc){(u64)data, 512, VQ_NEXT | VQ_WRITE, 2};
    q.desc[2] = (struct vq_desc){(u64)&status, 1, VQ_WRITE, 0};
    switch (how[0]) {
    case 'l': q.desc[1].next = 0; break;                       /* a loop */
    case 'o': q.desc[1].addr = 0xfffffffffffff000; break;      /* outside */
    case 'w': q.desc[1].addr = ~0ul - 100, q.desc[1].len = ~0u; break;
    case 'h': q.desc[1].len = ~0u; break;                      /* huge */
    case 'n': q.desc[1].next = 9999; break;                    /* next out of bounds */
    case 'i': q.desc[0] = (struct vq_desc){(u64)q.desc, 256, VQ_INDIRECT, 0}; break;
    case 's': q.desc[2].flags = 0; break;                      /* a status that cannot be written */
    case 'm': q.desc[1].addr = dev.base, q.desc[1].len = 512; break; /* the device's own registers */
    case 'j': q.avail->idx = (u16)(q.avail->idx + 5000); break; /* more than there is room for */
    case 'd': vq_push(&q, 9999); break;                        /* no such descriptor */
    case 'c': for (u32 i = 0; i < 0x200; i += 4) if (i != 0x50) wr32(dev.base + i, ~0u); break;
    }
    vq_push(&q, 0);
    for (u32 i = 0; i < 200000 && how[0] != 'c'; i++)
        if (q.used->idx != q.seen || rd32(dev.base + 0x70) & 0x40) break;
    u32 s = rd32(dev.base + 0x70);
    puts(s & 0x40 ? "needs reset\n" : "goes on\n");
    puts(blk_up(0) && blk_io(&dev, &q, 0, 1, data) == 0 ? "works again\n" : "dead\n");
}
static void rng(void) {
    map_gib(0xc0000000);
    if (!vdev_find(4, 0, &dev) || !vdev_begin(&dev, 0) || !vdev_queue(&dev, 0, 8, &q, room)) { puts("no entropy\n"); return; }
    vdev_ready(&dev);
    q.desc[0] = (struct vq_desc){(u64)data, 256, VQ_WRITE, 0};
    vq_push(&q, 0);
    if (vq_wait(&q)) { puts("nothing\n"); return; }
    u32 zero = 0;
    for (u32 i = 0; i < 256; i++) zero += !data[i];
    putdec(q.used->ring[0].len), puts(zero < 32 ? " random\n" : " dull\n");
}
/* Wakes a second processor by INIT and SIPI through the local APIC. */
extern u8 ap_code[], ap_code_end[];
__asm__(".section .rodata\n.globl ap_code, ap_code_end\n.code16\nap_code: cli\nxor %ax,%ax\nmov %ax,%ds\nmovw $0x5a5a, 0x7010\n1: hlt\njmp 1b\nap_code_end:\n.code64\n.text");
static void smp(void) {
    map_gib(0xc0000000);
    volatile u16 *mark = (u16 *)0x7010;
    *mark = 0;
    memcpy((void *)0x7000, ap_code, (u64)(ap_code_end - ap_code));
    u64 apic = 0xfee00000;
    wr32(apic + 0xf0, 0x1ff);
    wr32(apic + 0x310, 1u << 24), wr32(apic + 0x300, 0x4500);
    for (u32 i = 0; i < 20000; i++) barrier();
    wr32(apic + 0x310, 1u << 24), wr32(apic + 0x300, 0x4607);
    for (u32 i = 0; i < 2000000 && *mark != 0x5a5a; i++) barrier();
    puts(*mark == 0x5a5a ? "two processors\n" : "one processor\n");
}

static const struct { const char *name; void (*run)(void); } tests[] = {
    {"hello", hello}, {"cmdline", cmdline}, {"e820", e820}, {"initrd", initrd}, {"echo", echo}, {"count", count}, {"tick", tick}, {"flood", flood},
    {"triple", triple}, {"nowhere", nowhere}, {"spin", spin}, {"halt", halt}, {"idle", idle}, {"counter", counter}, {"holes", holes}, {"keyboard", keyboard},
    {"blk", blk}, {"blkirq", blkirq}, {"hostile", hostile}, {"rng", rng}, {"smp", smp},
};

void guest_main(const u8 *params, int pvh) {
    char name[32];
    boot_read(params, pvh);
    serial_init();
    if (!cmdline_get("t", 0, name, sizeof name)) puts("no test\n"), reset();
    for (u32 i = 0; i < sizeof tests / sizeof tests[0]; i++)
        if (streq(tests[i].name, name)) tests[i].run(), reset();
    puts("no such test\n");
    reset();
}
