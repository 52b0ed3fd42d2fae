// Package suite takes the module's tests elsewhere: it builds the test binary of
// every package that has tests, so that they can run as another user or on
// another kernel, and it reads what they print.
//
// What such a run, a pass, came to can be left in the folder named by the
// environment variable RENEST_RESULTS, for program report to count with the rest.
package suite
