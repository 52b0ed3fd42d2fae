package test

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/renest/renest/nsfs"
	"github.com/renest/renest/test/seed"
)

// TestWatchUnderChurn has namespaces come and go, some that live no time at all and
// some that live longer than watch promises to find, and holds what it tells
// against what it promised: its interval, or what it said it could not keep.
func TestWatchUnderChurn(t *testing.T) {
	watched := map[string]string{"host": "live", "tree": "live:" + strconv.Itoa(os.Getpid())}
	if testing.Short() {
		delete(watched, "tree") // what holds for a host holds for a tree
	}
	for name, what := range watched {
		t.Run(name, func(t *testing.T) {
			const interval = 300 * time.Millisecond
			w := watch(t, "--interval", interval.String(), what)
			c := &churn{t: t, seed: seed.Of(t), enough: 6, bound: func() time.Duration { return w.bound(interval) }}
			if testing.Short() {
				c.enough = 1
			}
			// Looks that take longer towards the end leave too few that lived longer.
			deadline := time.Now().Add(time.Minute)
			var wrong []string
			for c.long() == 0 && len(wrong) == 0 && time.Now().Before(deadline) {
				c.run(time.Now().Add(10 * time.Second))
				wrong = c.settle(w)
			}
			w.end()
			events, warnings := w.all()
			t.Logf("%d namespaces, of which %d lived longer than %s; %d events; it said:\n%s",
				len(c.lives), c.long(), c.bound(), len(events), strings.Join(warnings, "\n"))
			if len(wrong) > 0 {
				t.Error(strings.Join(wrong, "\n"))
			}
			for _, e := range events {
				for _, a := range e.Aspects {
					if a.First == "unknown" || a.Second == "unknown" {
						t.Errorf("what could not be read is told as a change of %s: %v", e.First, a)
					}
				}
			}
			if c.long() == 0 {
				t.Errorf("no namespace lived longer than %s", c.bound())
			}
		})
	}
}

var mayMiss = regexp.MustCompile(`what lived shorter than (\S+) may have been missed$`)

// bound returns what a namespace has to live longer than to be told of: the
// interval, or what watch has said in its place.
func (w *watcher) bound(interval time.Duration) time.Duration {
	_, warnings := w.all()
	for _, line := range warnings {
		if m := mayMiss.FindStringSubmatch(line); m != nil {
			d, err := time.ParseDuration(m[1])
			if err != nil {
				w.t.Error(err)
			}
			interval = max(interval, d)
		}
	}
	return interval
}

// churn makes namespaces and ends them.
type churn struct {
	t      *testing.T
	seed   uint64
	enough int                  // how many are to live longer than bound
	bound  func() time.Duration // which can grow

	mu    sync.Mutex
	lives []life
}

// life is that of a user namespace and a UTS namespace which that owns.
type life struct {
	user, uts  string
	id         nsfs.ID   // of the user namespace, 0 where the kernel has none
	born, died time.Time // it was there from then to then at least
	gone       time.Time // and not after this
}

func (l life) long(bound time.Duration) bool { return l.died.Sub(l.born) > bound }

// settle waits until all is told, since what comes and goes last is told last, and
// returns what is wrong of it.
func (c *churn) settle(w *watcher) []string {
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		events, _ := w.all()
		if wrong := c.check(events); len(wrong) == 0 || time.Now().After(deadline) {
			return wrong
		}
	}
}

// run makes a dozen at a time, until there were enough, or it is late.
func (c *churn) run(deadline time.Time) {
	var makers sync.WaitGroup
	for i := range uint64(12) {
		makers.Go(func() {
			rnd := rand.New(rand.NewPCG(c.seed, i))
			for c.long() < c.enough && time.Now().Before(deadline) {
				// Half of them short-lived, a quarter long enough.
				lasts := time.Duration(rnd.Int64N(int64(c.bound()) / 4))
				if rnd.IntN(2) == 0 {
					lasts = time.Duration(rnd.Int64N(int64(c.bound()) * 2))
				}
				if err := c.live(lasts); err != nil {
					c.t.Error(err)
					return
				}
			}
		})
	}
	makers.Wait()
}

// long counts those that lived longer than what is promised.
func (c *churn) long() (n int) {
	bound := c.bound()
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, l := range c.lives {
		if l.long(bound) {
			n++
		}
	}
	return n
}

// live makes namespaces that last so long.
func (c *churn) live(lasts time.Duration) error {
	sleep, err := startSleeper(c.t)
	if err != nil {
		return err
	}
	l, err := begin(sleep)
	if err == nil {
		time.Sleep(lasts)
		l.died = time.Now()
	}
	_ = sleep.Process.Kill()
	_ = sleep.Wait()
	l.gone = time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lives = append(c.lives, l)
	return err
}

func begin(sleep *exec.Cmd) (l life, err error) {
	p, err := nsfs.OpenProc()
	if err != nil {
		return l, err
	}
	defer p.Close()
	task, err := p.Task(sleep.Process.Pid)
	if err != nil {
		return l, err
	}
	defer task.Close()
	user, err := task.Ref(nsfs.InUser)
	if err != nil {
		return l, err
	}
	uts, err := task.Ref(nsfs.InUTS)
	if err != nil {
		return l, err
	}
	l.user, l.uts = user.String(), uts.String()
	if h, err := task.Handle(nsfs.InUser); err == nil {
		l.id = h.ID
	}
	l.born = time.Now()
	return l, nil
}

// check says what was not told of those that lived longer than what is promised, or
// not in time, and what was told of any otherwise than it was.
func (c *churn) check(events []watchEvent) (wrong []string) {
	bound := c.bound()
	for i, l := range c.lives {
		came, went := l.told(events, bound)
		say := func(format string, args ...any) {
			wrong = append(wrong, fmt.Sprintf("%s (id %d), from %s to %s: ", l.user, l.id, l.born.Format(time.StampMilli), l.died.Format(time.StampMilli))+fmt.Sprintf(format, args...))
		}
		before, after := c.around(i)
		switch {
		case !l.long(bound) && (len(came) == 0 && len(went) == 0 || l.id == 0):
			continue // or it is not known of whom of that number it was told
		case l.id == 0 && (l.born.Sub(before) < 2*bound || after.Sub(l.gone) < bound):
			// It was taken for another one of its number, as watch said; or the end of
			// one before it was told within the bound, among what told counts for it.
			continue
		case len(came) != 1 || len(went) != 1:
			say("told to have come %d times and to have gone %d times", len(came), len(went))
			continue
		case came[0].Time.After(l.gone) || !went[0].Time.After(came[0].Time):
			say("told at %s and %s", came[0].Time.Format(time.StampMilli), went[0].Time.Format(time.StampMilli))
		}
		if !l.long(bound) {
			continue
		}
		if late := came[0].Time.Sub(l.born); late > bound {
			say("told %s late", late)
		}
		if l.id != 0 && !slices.Contains(came[0].Below, l.uts) {
			say("told with %s, not with %s", came[0].Below, l.uts)
		}
	}
	return wrong
}

// told returns what was told of l; by its number if it has no id, what was told
// while it lived.
func (l life) told(events []watchEvent, bound time.Duration) (came, went []watchEvent) {
	for _, e := range events {
		if e.NSID != l.id || cmp.Or(e.Second, e.First) != l.user {
			continue
		}
		switch {
		case l.id == 0 && (e.Time.Before(l.born.Add(-bound)) || e.Time.After(l.gone.Add(bound))):
		case e.Change == "added":
			came = append(came, e)
		case e.Change == "removed":
			went = append(went, e)
		}
	}
	return came, went
}

// around returns when the last before life i with the same number ended, and when
// the next one began.
func (c *churn) around(i int) (before, after time.Time) {
	l := c.lives[i]
	after = l.gone.Add(time.Hour)
	for _, m := range c.lives {
		switch {
		case m.user != l.user:
		case m.born.Before(l.born) && m.gone.After(before):
			before = m.gone
		case m.born.After(l.born) && m.born.Before(after):
			after = m.born
		}
	}
	return before, after
}
