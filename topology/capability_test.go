package topology

import (
	"strconv"
	"strings"
	"testing"
)

func TestCapNames(t *testing.T) {
	for n, want := range map[Cap]string{
		0: "CAP_CHOWN", 12: "CAP_NET_ADMIN", CapSysChroot: "CAP_SYS_CHROOT", CapSysAdmin: "CAP_SYS_ADMIN",
		40: "CAP_CHECKPOINT_RESTORE", 41: "41",
	} {
		if n.String() != want {
			t.Errorf("%d is %q, want %q", n, n, want)
		}
	}
	for _, c := range AllCaps.Caps() {
		for _, s := range []string{c.String(), strings.ToLower(c.String()), strings.TrimPrefix(c.String(), "CAP_"), strconv.Itoa(int(c))} {
			if got, err := ParseCap(s); err != nil || got != c {
				t.Errorf("%q is read as %v, %v", s, got, err)
			}
		}
	}
	for _, s := range []string{"", "CAP_", "CAP_NETADMIN", "64", "-1", "CAP_12", "1.5", strings.Repeat("x", 1000)} {
		if got, err := ParseCap(s); err == nil {
			t.Errorf("%q is read as %v", s, got)
		} else if len(err.Error()) > 200 {
			t.Errorf("%q: an error of %d bytes", s, len(err.Error()))
		}
	}
}

func TestCapSet(t *testing.T) {
	for want, s := range map[string]CapSet{
		"none":                           0,
		"all":                            AllCaps,
		"CAP_CHOWN":                      1,
		"CAP_SYS_ADMIN,CAP_BPF":          CapSetOf(CapSysAdmin, 39),
		"all but CAP_CHOWN,CAP_SYS_BOOT": AllCaps &^ CapSetOf(0, 22),
		"CAP_CHOWN,63":                   CapSetOf(0, 63),
	} {
		if got := s.String(); got != want {
			t.Errorf("%x is %q, want %q", uint64(s), got, want)
		}
	}
	if AllCaps.Len() != 41 || !AllCaps.Has(40) || AllCaps.Has(41) || AllCaps.Has(200) {
		t.Errorf("all are %d: %v", AllCaps.Len(), AllCaps)
	}
}

func FuzzParseCap(f *testing.F) {
	f.Add("CAP_NET_ADMIN")
	f.Add("12")
	f.Fuzz(func(t *testing.T, s string) {
		c, err := ParseCap(s)
		if err != nil {
			return
		}
		if again, err := ParseCap(c.String()); err != nil || again != c {
			t.Errorf("%q is %v, and that is %v, %v", s, c, again, err)
		}
	})
}
