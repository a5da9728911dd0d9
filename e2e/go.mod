module hearth/e2e

go 1.26

replace hearth => ../
