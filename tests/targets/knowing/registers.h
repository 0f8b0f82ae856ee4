/* Waiting for a line with known values in all registers that the kernel has to give back as they were. */

enum { REGISTERS = 32, VECTORS = 32 };

static __thread struct {
	uint64_t before[REGISTERS], after[REGISTERS];
	uint64_t vectors_before[2 * VECTORS] __attribute__((aligned(16)));
	uint64_t vectors_after[2 * VECTORS] __attribute__((aligned(16)));
} kept;

static volatile int registers_changed; /* how many, ever */

#if defined(__x86_64__)

static inline long read_with_registers(int descriptor, void *line, size_t size)
{
	long result;

	asm volatile(".irp n,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15\n"
		     "movdqa %c[vectors_before]+\\n*16(%%rbx), %%xmm\\n\n"
		     ".endr\n"
		     ".irp n,8,9,10,12,13,14,15\n"
		     "mov %c[before]+\\n*8(%%rbx), %%r\\n\n"
		     ".endr\n"
		     "syscall\n"
		     ".irp n,8,9,10,12,13,14,15\n"
		     "mov %%r\\n, %c[after]+\\n*8(%%rbx)\n"
		     ".endr\n"
		     "mov %%rdi, %c[after]+0*8(%%rbx)\n"
		     "mov %%rsi, %c[after]+1*8(%%rbx)\n"
		     "mov %%rdx, %c[after]+2*8(%%rbx)\n"
		     ".irp n,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15\n"
		     "movdqa %%xmm\\n, %c[vectors_after]+\\n*16(%%rbx)\n"
		     ".endr\n"
		     : "=a"(result)
		     : "a"(SYS_read), "D"((long)descriptor), "S"(line), "d"(size), "b"(&kept),
		       [before] "i"(__builtin_offsetof(typeof(kept), before)),
		       [after] "i"(__builtin_offsetof(typeof(kept), after)),
		       [vectors_before] "i"(__builtin_offsetof(typeof(kept), vectors_before)),
		       [vectors_after] "i"(__builtin_offsetof(typeof(kept), vectors_after))
		     : "rcx", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4",
		       "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15",
		       "memory");
	return result;
}

static const int of_arguments[] = {0, 1, 2}, of_patterns[] = {8, 9, 10, 12, 13, 14, 15};
enum { VECTORS_THERE = 16 };

#elif defined(__aarch64__)

static inline long read_with_registers(int descriptor, void *line, size_t size)
{
	register long x0 asm("x0") = descriptor;
	register void *x1 asm("x1") = line;
	register size_t x2 asm("x2") = size;
	register long x8 asm("x8") = SYS_read;
	register void *x21 asm("x21") = &kept;
	register void *x22 asm("x22") = kept.vectors_before;
	register void *x23 asm("x23") = kept.vectors_after;

	asm volatile(".irp n,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31\n"
		     "ldr q\\n, [x22, #\\n*16]\n"
		     ".endr\n"
		     ".irp n,3,4,5,6,7,9,10,11,12,13,14,15,16,17,24,25,26,27,28\n"
		     "ldr x\\n, [x21, #\\n*8]\n"
		     ".endr\n"
		     "svc #0\n"
		     ".irp n,3,4,5,6,7,9,10,11,12,13,14,15,16,17,24,25,26,27,28\n"
		     "str x\\n, [x21, %[after]+\\n*8]\n"
		     ".endr\n"
		     "str x1, [x21, %[after]+1*8]\n"
		     "str x2, [x21, %[after]+2*8]\n"
		     "str x8, [x21, %[after]+8*8]\n"
		     ".irp n,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31\n"
		     "str q\\n, [x23, #\\n*16]\n"
		     ".endr\n"
		     : "+r"(x0)
		     : "r"(x1), "r"(x2), "r"(x8), "r"(x21), "r"(x22), "r"(x23),
		       [after] "i"(__builtin_offsetof(typeof(kept), after))
		     : "x3", "x4", "x5", "x6", "x7", "x9", "x10", "x11", "x12", "x13", "x14", "x15", "x16", "x17", "x24",
		       "x25", "x26", "x27", "x28", "v0", "v1", "v2", "v3", "v4", "v5", "v6", "v7", "v8", "v9", "v10", "v11",
		       "v12", "v13", "v14", "v15", "v16", "v17", "v18", "v19", "v20", "v21", "v22", "v23", "v24", "v25",
		       "v26", "v27", "v28", "v29", "v30", "v31", "memory");
	return x0;
}

static const int of_arguments[] = {-1, 1, 2},
		 of_patterns[] = {3, 4, 5, 6, 7, 9, 10, 11, 12, 13, 14, 15, 16, 17, 24, 25, 26, 27, 28};
enum { VECTORS_THERE = 32 };

#endif

static inline long wait_keeping_registers(int descriptor, void *line, size_t size)
{
	uint64_t arguments[] = {descriptor, (uint64_t)(uintptr_t)line, size};
	long result;

	for (int at = 0; at < REGISTERS; at++)
		kept.before[at] = 0x0101010101010101u * at + 0x1234500000000000u;
	for (int at = 0; at < 2 * VECTORS; at++)
		kept.vectors_before[at] = 0x4040404040404040u + 0x0102030405060708u * at;
	result = read_with_registers(descriptor, line, size);
	for (int at = 0; at < 3; at++)
		if (of_arguments[at] >= 0 && kept.after[of_arguments[at]] != arguments[at])
			registers_changed++;
	for (size_t at = 0; at < sizeof of_patterns / sizeof *of_patterns; at++)
		if (kept.after[of_patterns[at]] != kept.before[of_patterns[at]])
			registers_changed++;
	if (memcmp(kept.vectors_before, kept.vectors_after, VECTORS_THERE * 16))
		registers_changed++;
	return result;
}

static inline void tell_registers(void) { say("registers changed", "%d", registers_changed); }
