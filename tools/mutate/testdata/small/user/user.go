// Package user has a test that counts for package small.
package user
