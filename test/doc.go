// Package test holds what needs more than one package of the module: scenarios
// that use renest as its users do, the same tests as an ordinary user and on other
// kernels, and, in packages of their own, what those stand on.
//
//   - require says what a test needs, suite takes tests elsewhere, report sums up.
//   - vm runs programs on a kernel of one's choice.
//   - bench measures renest against others.
package test
