#include "textflag.h"

// The program of an agent: a static, position-independent executable without
// data or stack. See op in op.go for the layout of a record, and keep arenaBase
// and arenaSize equal to those there.
//
// BX is the record being carried out. A system call preserves it, and fork
// copies it, so parent and child go their ways by the result alone.

#define arenaBase 0x1000000000
#define arenaSize 0x20000000

#define SYS_mmap 9
#define SYS_munmap 11
#define SYS_exit_group 231
#define SYS_ppoll 271

TEXT ·code(SB),NOSPLIT|NOFRAME,$0
	// mmap(arenaBase, arenaSize, PROT_READ|PROT_WRITE, MAP_SHARED|MAP_FIXED, 3, 0)
	MOVQ $SYS_mmap, AX
	MOVQ $arenaBase, DI
	MOVQ $arenaSize, SI
	MOVQ $3, DX
	MOVQ $0x11, R10
	MOVQ $3, R8
	XORL R9, R9
	SYSCALL
	MOVQ AX, BX
	TESTQ AX, AX
	JS   fail

next:
	MOVQ 0(BX), AX
	TESTQ AX, AX
	JS   hold
	MOVQ 8(BX), DI
	MOVQ 16(BX), SI
	MOVQ 24(BX), DX
	MOVQ 32(BX), R10
	MOVQ 40(BX), R8
	MOVQ 48(BX), R9
	MOVQ (DI), DI
	MOVQ (SI), SI
	MOVQ (DX), DX
	MOVQ (R10), R10
	MOVQ (R8), R8
	MOVQ (R9), R9
	SYSCALL
	TESTQ AX, AX
	JZ   zero
	MOVQ AX, 56(BX)
	JS   negative
	MOVQ 80(BX), BX
	JMP  next

zero:
	// Not stored: a child must not write over its parent's result.
	MOVQ 72(BX), BX
	JMP  next

negative:
	MOVQ 64(BX), BX
	JMP  next

hold:
	// Nothing is left to do but to be there.
	MOVQ $SYS_munmap, AX
	MOVQ $arenaBase, DI
	MOVQ $arenaSize, SI
	SYSCALL

pause:
	MOVQ $SYS_ppoll, AX
	XORL DI, DI
	XORL SI, SI
	XORL DX, DX
	XORL R10, R10
	XORL R8, R8
	SYSCALL
	JMP  pause

fail:
	NEGQ AX
	MOVQ AX, DI
	MOVQ $SYS_exit_group, AX
	SYSCALL
	JMP  fail

TEXT ·codeEnd(SB),NOSPLIT|NOFRAME,$0
	RET

// func codeBounds() (start, end uintptr)
TEXT ·codeBounds(SB),NOSPLIT,$0-16
	LEAQ ·code(SB), AX
	MOVQ AX, start+0(FP)
	LEAQ ·codeEnd(SB), AX
	MOVQ AX, end+8(FP)
	RET
