package main

import "time"

// pace says when watch looks, and what may have been missed. A look finds what is
// there all the time from its start to its end, so that to be found for sure a
// namespace has to live as long as it is from the start of one look to the end of
// the next: the interval, if that can be kept.
type pace struct {
	interval time.Duration
	start    time.Time     // of the last look
	took     time.Duration // the last look
	told     time.Duration // that what lives shorter may be missed; the interval at first
}

// next returns when the next look begins: so early that it ends in time, even if it
// takes longer than the last, but looks never take more than half of the time.
func (p *pace) next() time.Time {
	spare := max(p.took/4, p.interval/8)
	return p.start.Add(max(p.interval-p.took-spare, 2*p.took))
}

// looked notes a look. It returns how long a namespace had to live to be found, where
// that is longer than the interval and than what was returned last.
func (p *pace) looked(start, end time.Time) (missed time.Duration) {
	span := end.Sub(p.start)
	p.start, p.took = start, end.Sub(start)
	switch {
	case span <= p.interval:
		p.told = p.interval
	case span > p.told:
		p.told = span.Truncate(10*time.Millisecond) + 10*time.Millisecond
		return p.told
	}
	return 0
}
