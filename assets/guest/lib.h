/* What a guest without an operating system needs of a machine. */
#pragma once
typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long u64;

/* How the guest was started, and with what. */
struct boot { const char *cmdline; const u8 *e820; u32 e820_count; int pvh; const u8 *params; };
extern struct boot boot;
void boot_read(const u8 *params, int pvh);
/* The value of `key=` in the command line, copied to `out`; 0 if there is none. Asked for the nth of that key. */
int cmdline_get(const char *key, int nth, char *out, u32 room);
u64 parse_number(const char **s);

static inline void outb(u16 p, u8 v) { __asm__ volatile("outb %0, %1" ::"a"(v), "Nd"(p)); }
static inline u8 inb(u16 p) { u8 v; __asm__ volatile("inb %1, %0" : "=a"(v) : "Nd"(p)); return v; }
static inline void outl(u16 p, u32 v) { __asm__ volatile("outl %0, %1" ::"a"(v), "Nd"(p)); }
static inline u32 inl(u16 p) { u32 v; __asm__ volatile("inl %1, %0" : "=a"(v) : "Nd"(p)); return v; }
static inline void hlt(void) { __asm__ volatile("hlt" ::: "memory"); }
static inline void sti(void) { __asm__ volatile("sti" ::: "memory"); }
static inline void cli(void) { __asm__ volatile("cli" ::: "memory"); }
/* Opens interrupts and halts with no gap between. */
static inline void sti_hlt(void) { __asm__ volatile("sti\n\thlt" ::: "memory"); }
static inline void fence(void) { __asm__ volatile("mfence" ::: "memory"); }
static inline void barrier(void) { __asm__ volatile("" ::: "memory"); }
static inline u32 rd32(u64 a) { return *(volatile u32 *)a; }
static inline void wr32(u64 a, u32 v) { *(volatile u32 *)a = v; }
static inline u64 rdtsc(void) { u32 a, d; __asm__ volatile("rdtsc" : "=a"(a), "=d"(d)); return ((u64)d << 32) | a; }
void cpuid(u32 leaf, u32 sub, u32 r[4]);

void *memset(void *d, int c, u64 n);
void *memcpy(void *d, const void *s, u64 n);
int streq(const char *a, const char *b);

/* The serial port: output waits for the transmitter, input comes by interrupt once interrupts are set up. */
void serial_init(void);
void putc(char c);
void puts(const char *s);
void puthex(u64 v);
void putdec(u64 v);
int getc(void);          /* waits, halted */
int getc_now(void);      /* -1 if nothing is there */

/* Interrupts: PIC at vectors 32 to 47, PIT at `hz`, handlers for IRQ 0 to 15. */
typedef void (*irq_fn)(int irq);
void interrupts_init(void);
void irq_set(int irq, irq_fn fn);
void pit_init(u32 hz);
extern volatile u64 ticks;
extern volatile u64 irq_seen[16];
/* Makes the next GiB from `addr` reachable where it lies. */
void map_gib(u64 addr);

/* virtio over MMIO. */
struct vq_desc { u64 addr; u32 len; u16 flags, next; };
struct vq_avail { u16 flags, idx, ring[256]; u16 event; };
struct vq_used { u16 flags, idx; struct { u32 id, len; } ring[256]; u16 event; };
struct vq { struct vq_desc *desc; volatile struct vq_avail *avail; volatile struct vq_used *used; u16 size, seen; u64 base; u16 n; };
struct vdev { u64 base; u32 irq, id; };
#define VQ_NEXT 1
#define VQ_WRITE 2
#define VQ_INDIRECT 4
/* The nth device of that kind (2 block, 4 entropy), found by the command line. */
int vdev_find(u32 id, int nth, struct vdev *out);
int vdev_begin(struct vdev *d, u64 want);
int vdev_queue(struct vdev *d, u16 n, u16 size, struct vq *q, void *room);
void vdev_ready(struct vdev *d);
void vq_push(struct vq *q, u16 head);
int vq_wait(struct vq *q);    /* 0 when something came back */
/* Reads (0) or writes (1) one sector; the device's status, or 255. */
int blk_io(struct vdev *d, struct vq *q, int write, u64 sector, void *data);
void reset(void);
