/* The demo guest: a shell on the serial port. */
#include "lib.h"

static char line[256];
static u8 room[8192] __attribute__((aligned(4096)));
static u8 sector[512] __attribute__((aligned(512))), back[512] __attribute__((aligned(512)));

static void read_line(void) {
    u32 n = 0;
    for (;;) {
        int c = getc();
        if (c == '\r' || c == '\n') break;
        if (c == 3) { puts("^C"); n = 0; break; }
        if (c == 8 || c == 127) { if (n) n--, puts("\b \b"); continue; }
        if (c >= ' ' && n + 1 < sizeof line) line[n++] = (char)c, putc((char)c);
    }
    line[n] = 0;
    puts("\n");
}
static void do_cpuid(void) {
    u32 r[4];
    char name[13];
    cpuid(0, 0, r);
    u32 max = r[0];
    memcpy(name, &r[1], 4), memcpy(name + 4, &r[3], 4), memcpy(name + 8, &r[2], 4);
    name[12] = 0;
    puts("vendor "), puts(name), puts(", leaves to "), puthex(max);
    cpuid(1, 0, r);
    puts(", signature "), puthex(r[0]), puts(r[2] >> 31 ? ", in a virtual machine" : "");
    cpuid(0x40000000, 0, r);
    if (r[0] >= 0x40000000) memcpy(name, &r[1], 4), memcpy(name + 4, &r[2], 4), memcpy(name + 8, &r[3], 4), puts(" of "), puts(name);
    puts("\n");
}
static void do_mem(void) {
    u64 usable = 0;
    for (u32 i = 0; i < boot.e820_count; i++) {
        const u8 *e = boot.e820 + 20 * i;
        u64 from = *(const u64 *)e, len = *(const u64 *)(e + 8);
        u32 kind = *(const u32 *)(e + 16);
        puthex(from), puts(" + "), puthex(len), puts(kind == 1 ? " usable\n" : " reserved\n");
        if (kind == 1) usable += len;
    }
    putdec(usable >> 10), puts(" KiB usable\n");
}
static void do_ticks(void) {
    u64 a = ticks, t = rdtsc();
    while (ticks < a + 10) hlt();
    putdec(ticks), puts(" ticks of 10 ms since the start, "), putdec((rdtsc() - t) / 10), puts(" cycles each\n");
}
static void do_blk(void) {
    struct vdev d;
    struct vq q;
    if (!vdev_find(2, 0, &d)) { puts("no drive: give the machine one\n"); return; }
    u64 sectors = rd32(d.base + 0x100) | (u64)rd32(d.base + 0x104) << 32;
    wr32(d.base + 0x14, 0);
    int read_only = rd32(d.base + 0x10) >> 5 & 1;
    puts("drive of "), putdec(sectors), puts(" sectors at "), puthex(d.base), puts(", irq "), putdec(d.irq), puts(read_only ? ", read only\n" : "\n");
    if (!vdev_begin(&d, 0) || !vdev_queue(&d, 0, 16, &q, room)) { puts("the drive did not take its queue\n"); return; }
    vdev_ready(&d);
    if (!sectors) { puts("nothing to read\n"); return; }
    int s = blk_io(&d, &q, 0, sectors - 1, sector);
    puts("reading the last sector: "), puts(s ? "failed\n" : "ok\n");
    if (s || read_only) return;
    for (u32 i = 0; i < 512; i++) back[i] = (u8)(sector[i] ^ 0x5a);
    s = blk_io(&d, &q, 1, sectors - 1, back);
    memset(back, 0, 512);
    s |= blk_io(&d, &q, 0, sectors - 1, back);
    for (u32 i = 0; i < 512; i++) if (back[i] != (u8)(sector[i] ^ 0x5a)) s = 255;
    s |= blk_io(&d, &q, 1, sectors - 1, sector);
    puts("writing it, reading it back, restoring it: "), puts(s ? "failed\n" : "ok\n");
    wr32(d.base + 0x70, 0);
}
static void do_crash(void) {
    puts("going down: the interrupt table is taken away and a fault follows\n");
    struct { u16 limit; u64 base; } __attribute__((packed)) none = {0, 0};
    __asm__ volatile("lidt %0\n\tud2" ::"m"(none));
}
static void do_help(void) {
    puts("help          these lines\n"
         "echo TEXT     says it\n"
         "cpuid         what the processor says it is\n"
         "mem           the memory map\n"
         "ticks         the timer, for a tenth of a second\n"
         "blk           tests the first drive: reads, writes and restores its last sector\n"
         "crash         a triple fault\n"
         "halt          resets the machine, which ends it\n");
}

void guest_main(const u8 *params, int pvh) {
    boot_read(params, pvh);
    serial_init();
    puts("Quarterdeck demo guest. Type help.\n");
    map_gib(0xc0000000);
    interrupts_init();
    pit_init(100);
    for (;;) {
        puts("demo> ");
        read_line();
        if (!line[0]) continue;
        if (streq(line, "help")) do_help();
        else if (line[0] == 'e' && line[1] == 'c' && line[2] == 'h' && line[3] == 'o' && (line[4] == ' ' || !line[4])) puts(line[4] ? line + 5 : ""), puts("\n");
        else if (streq(line, "cpuid")) do_cpuid();
        else if (streq(line, "mem")) do_mem();
        else if (streq(line, "ticks")) do_ticks();
        else if (streq(line, "blk")) do_blk();
        else if (streq(line, "crash")) do_crash();
        else if (streq(line, "halt")) puts("bye\n"), reset();
        else puts(line), puts(": no such command; help lists them\n");
    }
}
