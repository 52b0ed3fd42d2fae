#include "textflag.h"

// The program of an agent; code_amd64.s has the comments. R19 is the record
// being carried out.

#define arenaBase 0x1000000000
#define arenaSize 0x20000000

#define SYS_ppoll 73
#define SYS_exit_group 94
#define SYS_munmap 215
#define SYS_mmap 222

TEXT ·code(SB),NOSPLIT|NOFRAME,$0
	MOVD $SYS_mmap, R8
	MOVD $arenaBase, R0
	MOVD $arenaSize, R1
	MOVD $3, R2
	MOVD $0x11, R3
	MOVD $3, R4
	MOVD $0, R5
	SVC
	MOVD R0, R19
	TBNZ $63, R0, fail

next:
	// The maker writes records on another processor.
	DMB  $0xb
	MOVD 0(R19), R8
	TBNZ $63, R8, hold
	MOVD 8(R19), R0
	MOVD 16(R19), R1
	MOVD 24(R19), R2
	MOVD 32(R19), R3
	MOVD 40(R19), R4
	MOVD 48(R19), R5
	MOVD (R0), R0
	MOVD (R1), R1
	MOVD (R2), R2
	MOVD (R3), R3
	MOVD (R4), R4
	MOVD (R5), R5
	SVC
	CBZ  R0, zero
	MOVD R0, 56(R19)
	DMB  $0xb
	TBNZ $63, R0, negative
	MOVD 80(R19), R19
	JMP  next

zero:
	MOVD 72(R19), R19
	JMP  next

negative:
	MOVD 64(R19), R19
	JMP  next

hold:
	MOVD $SYS_munmap, R8
	MOVD $arenaBase, R0
	MOVD $arenaSize, R1
	SVC

pause:
	MOVD $SYS_ppoll, R8
	MOVD $0, R0
	MOVD $0, R1
	MOVD $0, R2
	MOVD $0, R3
	MOVD $0, R4
	SVC
	JMP  pause

fail:
	NEG  R0, R0
	MOVD $SYS_exit_group, R8
	SVC
	JMP  fail

TEXT ·codeEnd(SB),NOSPLIT|NOFRAME,$0
	RET

// func codeBounds() (start, end uintptr)
TEXT ·codeBounds(SB),NOSPLIT,$0-16
	MOVD $·code(SB), R0
	MOVD R0, start+0(FP)
	MOVD $·codeEnd(SB), R0
	MOVD R0, end+8(FP)
	RET
