package topology

import "time"

const second = 1_000_000_000

// DurationOffset returns d as an offset.
func DurationOffset(d time.Duration) Offset {
	return Offset{Sec: int64(d / second)}.plus(int64(d % second))
}

// Add returns the sum of two offsets. Those of a valid graph do not overflow it.
func (o Offset) Add(p Offset) Offset {
	return Offset{Sec: o.Sec + p.Sec, Nsec: o.Nsec}.plus(int64(p.Nsec))
}

// Sub returns o less p.
func (o Offset) Sub(p Offset) Offset {
	return Offset{Sec: o.Sec - p.Sec, Nsec: o.Nsec}.plus(-int64(p.Nsec))
}

// plus adds less than a second either way.
func (o Offset) plus(nsec int64) Offset {
	nsec += int64(o.Nsec)
	switch {
	case nsec < 0:
		return Offset{Sec: o.Sec - 1, Nsec: uint32(nsec + second)}
	case nsec >= second:
		return Offset{Sec: o.Sec + 1, Nsec: uint32(nsec - second)}
	}
	return Offset{Sec: o.Sec, Nsec: uint32(nsec)}
}
