package weaviatetest

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	pb "github.com/weaviate/weaviate/grpc/generated/protocol/v1"
)

// clause is a filter of a request after what the schema can tell of it. Whether its value fits is found out later,
// while the index is read.
type clause struct {
	op       pb.Filters_Operator
	name     string
	property *property // nil for And, Or and internal properties
	value    any       // string, int, bool, float64 or a list of one of these
	operands []*clause
}

const (
	opAnd         = pb.Filters_OPERATOR_AND
	opOr          = pb.Filters_OPERATOR_OR
	opEqual       = pb.Filters_OPERATOR_EQUAL
	opNotEqual    = pb.Filters_OPERATOR_NOT_EQUAL
	opGreater     = pb.Filters_OPERATOR_GREATER_THAN
	opLike        = pb.Filters_OPERATOR_LIKE
	opIsNull      = pb.Filters_OPERATOR_IS_NULL
	opContainsAny = pb.Filters_OPERATOR_CONTAINS_ANY
	opContainsAll = pb.Filters_OPERATOR_CONTAINS_ALL
)

// denied says of each operand that its property may not be looked up.
func (c *clause) denied(why string) string {
	if !c.combines() {
		return why
	}
	var all []string
	for i, o := range c.operands {
		all = append(all, fmt.Sprintf("child operand at position %d: %s", i, o.denied(why)))
	}
	return strings.Join(all, ", ")
}

func (c *clause) combines() bool { return c.op == opAnd || c.op == opOr }

// clause reads a filter as far as the schema is enough.
func (c *class) clause(in *pb.Filters) (*clause, error) {
	out := &clause{op: in.GetOperator()}
	if out.combines() {
		for _, operand := range in.GetFilters() {
			o, err := c.clause(operand)
			if err != nil {
				return nil, err
			}
			out.operands = append(out.operands, o)
		}
		return out, nil
	}
	name, err := filtered(in)
	if err != nil {
		return nil, err
	}
	out.name = name
	if !internal(name) || name == "id" {
		if out.property = c.property(name); out.property == nil {
			return nil, noSuchProperty(name, c.Name)
		}
	}
	if out.value, err = valueOf(in); err != nil {
		return nil, err
	}
	if out.op != opIsNull && out.property != nil {
		out.value, err = out.property.lenient(out.value)
	}
	return out, err
}

// filtered gives the name of the property that a filter is about.
func filtered(in *pb.Filters) (string, error) {
	on := in.GetOn()
	switch {
	case in.GetTarget() == nil && len(on)%2 != 1:
		return "", fmt.Errorf("paths needs to have a uneven number of components: property, class, property, ...., got %v", on)
	case in.GetOperator() == pb.Filters_OPERATOR_UNSPECIFIED:
		return "", fmt.Errorf("unknown filter operator %v", in.GetOperator())
	case in.GetOperator() > opContainsAll || in.GetOperator() == pb.Filters_OPERATOR_WITHIN_GEO_RANGE:
		return "", fmt.Errorf("stand-in: operator %v is not covered", in.GetOperator())
	case len(on) > 1:
		return "", fmt.Errorf("stand-in: filters on references are not covered")
	case in.GetTarget() == nil:
		return on[0], nil
	}
	target, ok := in.GetTarget().GetTarget().(*pb.FilterTarget_Property)
	if !ok || strings.HasPrefix(target.Property, "len(") {
		return "", fmt.Errorf("stand-in: filter target %v is not covered", in.GetTarget())
	}
	return target.Property, nil
}

func valueOf(in *pb.Filters) (any, error) {
	switch v := in.GetTestValue().(type) {
	case *pb.Filters_ValueText:
		return v.ValueText, nil
	case *pb.Filters_ValueInt:
		return int(v.ValueInt), nil
	case *pb.Filters_ValueBoolean:
		return v.ValueBoolean, nil
	case *pb.Filters_ValueNumber:
		return v.ValueNumber, nil
	case *pb.Filters_ValueTextArray:
		return v.ValueTextArray.GetValues(), nil
	case *pb.Filters_ValueIntArray:
		var ints []int
		for _, n := range v.ValueIntArray.GetValues() {
			ints = append(ints, int(n))
		}
		return ints, nil
	case *pb.Filters_ValueBooleanArray:
		return v.ValueBooleanArray.GetValues(), nil
	case *pb.Filters_ValueNumberArray:
		return v.ValueNumberArray.GetValues(), nil
	case nil:
		return nil, fmt.Errorf("unknown value type %v", in.GetTestValue())
	}
	return nil, fmt.Errorf("stand-in: a value of %T is not covered", in.GetTestValue())
}

// lenient turns a number that came as text or as a number of the other kind into what the property holds.
func (p *property) lenient(v any) (any, error) {
	switch p.base() {
	case "number":
		switch n := v.(type) {
		case int:
			return float64(n), nil
		case string:
			f, err := strconv.ParseFloat(n, 64)
			if err != nil {
				return nil, fmt.Errorf("expected a number value, but could not parse string '%v' as float: %w", n, err)
			}
			return f, nil
		}
	case "int":
		switch n := v.(type) {
		case float64:
			return wholeNumber(n)
		case string:
			f, err := strconv.ParseFloat(n, 64)
			if err != nil {
				return nil, fmt.Errorf("expected an integer value, but could not parse string '%v' as int: %w", n, err)
			}
			return wholeNumber(f)
		}
	}
	return v, nil
}

func wholeNumber(f float64) (any, error) {
	switch {
	case math.IsNaN(f) || math.IsInf(f, 0):
		return nil, fmt.Errorf("filtering for integer, but received a non-finite number %v", f)
	case f < math.MinInt64 || f >= math.MaxInt64:
		return nil, fmt.Errorf("filtering for integer, but received a value out of range %v", f)
	case math.Trunc(f) != f:
		return nil, fmt.Errorf("filtering for integer, but received a floating point number %v", f)
	}
	return int(f), nil
}

// validate finds operators that a property cannot have.
func (c *clause) validate() error {
	var faults []string
	for i, o := range c.operands {
		if err := o.validate(); err != nil {
			faults = append(faults, fmt.Sprintf("child operand at position %d: %v", i, err))
		}
	}
	if len(faults) > 0 {
		return fmt.Errorf("%s", strings.Join(faults, ", "))
	}
	if c.op == opLike && c.property != nil && c.property.base() == "uuid" {
		return fmt.Errorf("operator %q cannot be used on uuid/uuid[] props", "Like")
	}
	return nil
}

func internal(name string) bool {
	return slices.Contains([]string{"id", "_id", "_creationTimeUnix", "_lastUpdateTimeUnix"}, name)
}
