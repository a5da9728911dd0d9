module hearth/examples/go

go 1.26.0

replace hearth => ../..

require (
	github.com/aws/aws-lambda-go v1.55.1
	go.uber.org/goleak v1.3.0
	hearth v0.0.0-00010101000000-000000000000
)
