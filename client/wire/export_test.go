package wire

var Kinds = kinds
