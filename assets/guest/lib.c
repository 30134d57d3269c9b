#include "lib.h"

struct boot boot;
volatile u64 ticks;
volatile u64 irq_seen[16];

void *memset(void *d, int c, u64 n) { void *r = d; __asm__ volatile("rep stosb" : "+D"(d), "+c"(n) : "a"(c) : "memory"); return r; }
void *memcpy(void *d, const void *s, u64 n) { void *r = d; __asm__ volatile("rep movsb" : "+D"(d), "+S"(s), "+c"(n)::"memory"); return r; }
int streq(const char *a, const char *b) { while (*a && *a == *b) a++, b++; return *a == *b; }

void boot_read(const u8 *p, int pvh) {
    boot.params = p;
    boot.pvh = pvh;
    if (pvh) {
        boot.cmdline = (const char *)*(const u64 *)(p + 24);
        boot.e820 = (const u8 *)*(const u64 *)(p + 40);
        boot.e820_count = *(const u32 *)(p + 48);
    } else {
        boot.cmdline = (const char *)(u64) * (const u32 *)(p + 0x228);
        boot.e820 = p + 0x2d0;
        boot.e820_count = p[0x1e8];
    }
}

int cmdline_get(const char *key, int nth, char *out, u32 room) {
    const char *s = boot.cmdline;
    while (s && *s) {
        while (*s == ' ') s++;
        const char *k = key, *t = s;
        while (*k && *k == *t) k++, t++;
        if (!*k && *t == '=' && nth-- == 0) {
            u32 n = 0;
            for (t++; *t && *t != ' ' && n + 1 < room; t++) out[n++] = *t;
            out[n] = 0;
            return 1;
        }
        while (*s && *s != ' ') s++;
    }
    return 0;
}

u64 parse_number(const char **s) {
    u64 v = 0, base = 10;
    if ((*s)[0] == '0' && (*s)[1] == 'x') base = 16, *s += 2;
    for (;; (*s)++) {
        char c = **s;
        u64 d = c >= '0' && c <= '9' ? (u64)(c - '0') : base == 16 && c >= 'a' && c <= 'f' ? (u64)(c - 'a' + 10) : 99;
        if (d >= base) return v;
        v = v * base + d;
    }
}

void cpuid(u32 leaf, u32 sub, u32 r[4]) {
    __asm__ volatile("cpuid" : "=a"(r[0]), "=b"(r[1]), "=c"(r[2]), "=d"(r[3]) : "a"(leaf), "c"(sub));
}

/* ---- the serial port ---- */
enum { COM1 = 0x3f8 };
static volatile u8 input[256];
static volatile u8 in_head, in_tail, in_full;

void serial_init(void) {
    outb(COM1 + 3, 0x80);
    outb(COM1, 1);
    outb(COM1 + 1, 0);
    outb(COM1 + 3, 3);
    outb(COM1 + 2, 1);
    outb(COM1 + 4, 0x0b);
}
void putc(char c) {
    while (!(inb(COM1 + 5) & 0x20)) {}
    outb(COM1, (u8)c);
}
void puts(const char *s) { for (; *s; s++) { if (*s == '\n') putc('\r'); putc(*s); } }
void puthex(u64 v) {
    puts("0x");
    int shift = 60;
    while (shift > 0 && !(v >> shift & 15)) shift -= 4;
    for (; shift >= 0; shift -= 4) putc("0123456789abcdef"[v >> shift & 15]);
}
void putdec(u64 v) {
    char b[20];
    int n = 0;
    do b[n++] = (char)('0' + v % 10), v /= 10; while (v);
    while (n) putc(b[--n]);
}
static void serial_irq(int irq) {
    (void)irq;
    while (!(inb(COM1 + 2) & 1)) {
        while (inb(COM1 + 5) & 1) {
            /* No room: what comes waits in the port until something was taken out. */
            if ((u8)(in_head + 1) == in_tail) { in_full = 1; outb(COM1 + 1, 0); return; }
            input[in_head++] = inb(COM1);
        }
    }
}
int getc_now(void) {
    if (in_head == in_tail) return -1;
    int c = input[in_tail++];
    if (in_full) in_full = 0, outb(COM1 + 1, 1);
    return c;
}
int getc(void) {
    for (;;) {
        cli();
        int c = getc_now();
        if (c >= 0) { sti(); return c; }
        sti_hlt();
    }
}

/* ---- interrupts ---- */
struct frame { u64 ip, cs, flags, sp, ss; };
static struct { u16 lo, sel; u8 ist, type; u16 mid; u32 hi, zero; } __attribute__((packed)) idt[48];
static irq_fn handlers[16];

static void irq_run(int n) {
    irq_seen[n]++;
    if (handlers[n]) handlers[n](n);
    if (n >= 8) outb(0xa0, 0x20);
    outb(0x20, 0x20);
}
#define IRQ(n) static __attribute__((interrupt)) void irq##n(struct frame *f) { (void)f; irq_run(n); }
IRQ(0) IRQ(1) IRQ(2) IRQ(3) IRQ(4) IRQ(5) IRQ(6) IRQ(7) IRQ(8) IRQ(9) IRQ(10) IRQ(11) IRQ(12) IRQ(13) IRQ(14) IRQ(15)

static void gate(int n, u64 fn) {
    u16 cs;
    __asm__ volatile("mov %%cs, %0" : "=r"(cs));
    idt[n].lo = (u16)fn;
    idt[n].sel = cs;
    idt[n].type = 0x8e;
    idt[n].mid = (u16)(fn >> 16);
    idt[n].hi = (u32)(fn >> 32);
}
static void tick(int irq) { (void)irq; ticks++; }

void interrupts_init(void) {
    void (*const fns[16])(struct frame *) = {irq0, irq1, irq2, irq3, irq4, irq5, irq6, irq7, irq8, irq9, irq10, irq11, irq12, irq13, irq14, irq15};
    for (int i = 0; i < 16; i++) gate(32 + i, (u64)fns[i]);
    struct { u16 limit; u64 base; } __attribute__((packed)) p = {sizeof idt - 1, (u64)idt};
    __asm__ volatile("lidt %0" ::"m"(p));
    outb(0x20, 0x11), outb(0xa0, 0x11);
    outb(0x21, 32), outb(0xa1, 40);
    outb(0x21, 4), outb(0xa1, 2);
    outb(0x21, 1), outb(0xa1, 1);
    outb(0x21, 0xfb), outb(0xa1, 0xff);
    irq_set(4, serial_irq);
    outb(COM1 + 1, 1);
    sti();
}
void irq_set(int irq, irq_fn fn) {
    handlers[irq] = fn;
    u16 port = irq < 8 ? 0x21 : 0xa1;
    outb(port, (u8)(inb(port) & ~(1 << (irq & 7))));
}
void pit_init(u32 hz) {
    u32 n = 1193182 / hz;
    outb(0x43, 0x34);
    outb(0x40, (u8)n);
    outb(0x40, (u8)(n >> 8));
    irq_set(0, tick);
}
static u64 gib_pd[512] __attribute__((aligned(4096)));
void map_gib(u64 addr) {
    u64 cr3;
    __asm__ volatile("mov %%cr3, %0" : "=r"(cr3));
    u64 *pdpt = (u64 *)(*(u64 *)(cr3 & ~0xffful) & ~0xffful & 0xffffffffff);
    u64 first = addr & ~0x3ffffffful;
    for (u64 i = 0; i < 512; i++) gib_pd[i] = (first + (i << 21)) | 0x93;
    pdpt[addr >> 30 & 511] = (u64)gib_pd | 3;
    __asm__ volatile("mov %0, %%cr3" ::"r"(cr3) : "memory");
}
void reset(void) {
    outb(0x64, 0xfe);
    for (;;) hlt();
}

/* ---- virtio ---- */
int vdev_find(u32 id, int nth, struct vdev *out) {
    char text[64];
    for (int i = 0; cmdline_get("virtio_mmio.device", i, text, sizeof text); i++) {
        const char *s = text;
        while (*s && *s != '@') s++;
        if (*s) s++;
        out->base = parse_number(&s);
        if (*s) s++;
        out->irq = (u32)parse_number(&s);
        if (rd32(out->base) != 0x74726976 || rd32(out->base + 4) != 2) continue;
        out->id = rd32(out->base + 8);
        if (out->id == id && nth-- == 0) return 1;
    }
    return 0;
}
int vdev_begin(struct vdev *d, u64 want) {
    wr32(d->base + 0x70, 0);
    wr32(d->base + 0x70, 1);
    wr32(d->base + 0x70, 3);
    for (u32 i = 0; i < 2; i++) {
        wr32(d->base + 0x14, i);
        u32 has = rd32(d->base + 0x10);
        wr32(d->base + 0x24, i);
        wr32(d->base + 0x20, (u32)((want | 1ul << 32) >> 32 * i) & has);
    }
    wr32(d->base + 0x70, 11);
    return rd32(d->base + 0x70) == 11;
}
int vdev_queue(struct vdev *d, u16 n, u16 size, struct vq *q, void *room) {
    u64 a = (u64)room;
    memset(room, 0, 8192);
    *q = (struct vq){(void *)a, (void *)(a + 4096), (void *)(a + 5120), size, 0, d->base, n};
    wr32(d->base + 0x30, n);
    if (rd32(d->base + 0x34) < size) return 0;
    wr32(d->base + 0x38, size);
    wr32(d->base + 0x80, (u32)(u64)q->desc), wr32(d->base + 0x84, (u32)((u64)q->desc >> 32));
    wr32(d->base + 0x90, (u32)(u64)q->avail), wr32(d->base + 0x94, (u32)((u64)q->avail >> 32));
    wr32(d->base + 0xa0, (u32)(u64)q->used), wr32(d->base + 0xa4, (u32)((u64)q->used >> 32));
    wr32(d->base + 0x44, 1);
    return rd32(d->base + 0x44) == 1;
}
void vdev_ready(struct vdev *d) { wr32(d->base + 0x70, 15); }
void vq_push(struct vq *q, u16 head) {
    q->avail->ring[q->avail->idx & (q->size - 1)] = head;
    barrier();
    q->avail->idx++;
    fence();
    wr32(q->base + 0x50, q->n);
}
int vq_wait(struct vq *q) {
    for (u64 i = 0; i < 2000000; i++) {
        if (q->used->idx != q->seen) {
            q->seen++;
            wr32(q->base + 0x64, rd32(q->base + 0x60));
            return 0;
        }
    }
    return 1;
}
static struct { u32 type, reserved; u64 sector; } head;
static volatile u8 status;
int blk_io(struct vdev *d, struct vq *q, int write, u64 sector, void *data) {
    (void)d;
    head.type = (u32)write;
    head.sector = sector;
    status = 255;
    q->desc[0] = (struct vq_desc){(u64)&head, 16, VQ_NEXT, 1};
    q->desc[1] = (struct vq_desc){(u64)data, 512, (u16)(VQ_NEXT | (write ? 0 : VQ_WRITE)), 2};
    q->desc[2] = (struct vq_desc){(u64)&status, 1, VQ_WRITE, 0};
    vq_push(q, 0);
    if (vq_wait(q)) return 255;
    return status;
}
