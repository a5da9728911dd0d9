module hearth/e2e

go 1.26.0

replace hearth => ../

require hearth v0.0.0-00010101000000-000000000000

require (
	github.com/google/uuid v1.6.0 // indirect
	golang.org/x/sync v0.24.0 // indirect
)
