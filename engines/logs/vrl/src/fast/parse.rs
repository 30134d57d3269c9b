//! From VRL's syntax tree to what can be executed here.

use vrl::{
    parser::{
        Literal,
        ast::{
            Assignment, AssignmentOp, AssignmentTarget, Container, Expr, FunctionCall, Opcode, Predicate, QueryTarget,
            RootExpr, Unary,
        },
        template_string::StringSegment,
    },
    path::{OwnedSegment, OwnedValuePath, PathPrefix},
};

use super::{
    expr::{Constant, Value},
    formats::Format,
    plan::Step,
    test::{Compare, Test},
};

/// The statements of a program; `None` if one of them is of no known shape.
pub(super) fn program(source: &str) -> Option<Vec<Step>> {
    let ast = vrl::parser::parse(source).ok()?;
    let mut steps = Vec::new();
    for root in ast.0 {
        match root.into_inner() {
            RootExpr::Expr(e) => step(e.inner(), &mut steps)?,
            RootExpr::Error(_) => return None,
        }
    }
    Some(steps)
}

/// The test a condition is; `None` if it is of no known shape.
pub(super) fn condition(source: &str) -> Option<Test> {
    let ast = vrl::parser::parse(source).ok()?;
    match ast.0.as_slice() {
        [one] => match one.inner() {
            RootExpr::Expr(e) => test(e.inner()),
            RootExpr::Error(_) => None,
        },
        _ => None,
    }
}

/// A path of one field.
fn single(path: &OwnedValuePath) -> Option<String> {
    match path.segments.as_slice() {
        [OwnedSegment::Field(f)] => Some(f.as_str().to_owned()),
        _ => None,
    }
}

/// The path of a query into the event; empty for the event itself.
fn event_path(e: &Expr) -> Option<&OwnedValuePath> {
    match e {
        Expr::Query(q) => match q.inner().target.inner() {
            QueryTarget::External(PathPrefix::Event) => Some(q.inner().path.inner()),
            _ => None,
        },
        _ => None,
    }
}

fn field(e: &Expr) -> Option<String> {
    single(event_path(e)?)
}

fn is_root(e: &Expr) -> bool {
    event_path(e).is_some_and(OwnedValuePath::is_root)
}

/// The arguments of a call by position, if none is named and there is no closure.
fn call<'a>(e: &'a Expr, name: &str) -> Option<Vec<&'a Expr>> {
    match e {
        Expr::FunctionCall(c) => arguments(c.inner(), name),
        _ => None,
    }
}

fn arguments<'a>(c: &'a FunctionCall, name: &str) -> Option<Vec<&'a Expr>> {
    if c.ident.inner().as_ref() != name || c.closure.is_some() {
        return None;
    }
    c.arguments
        .iter()
        .map(|a| a.inner().ident.is_none().then(|| a.inner().expr.inner()))
        .collect()
}

/// `parse_json!(.f)` or with `string!` around the field: the field.
fn parsed_field(e: &Expr) -> Option<(String, Format)> {
    match call(e, "parse_json")?.as_slice() {
        [arg] => text(arg).map(|f| (f, Format::Json)),
        _ => None,
    }
}

/// `object!(parse_json!(.f))`, or a function that gives an object: the field.
fn parsed_object(e: &Expr) -> Option<(String, Format)> {
    let Expr::FunctionCall(c) = e else {
        return None;
    };
    let name: &str = c.inner().ident.inner();
    match (name, arguments(c.inner(), name)?.as_slice()) {
        ("object", [arg]) => parsed_field(arg).or_else(|| parsed_object(arg)),
        ("parse_logfmt" | "parse_key_value", [arg]) => text(arg).map(|f| (f, Format::Logfmt)),
        ("parse_nginx_log", [arg, format]) if literal(format)? == Constant::Text("combined".to_owned()) => {
            text(arg).map(|f| (f, Format::Nginx))
        }
        _ => None,
    }
}

fn target(t: &AssignmentTarget) -> Option<Option<String>> {
    let path = match t {
        AssignmentTarget::External(None) => return Some(None),
        AssignmentTarget::External(Some(p)) if p.prefix == PathPrefix::Event => &p.path,
        AssignmentTarget::Query(q) => match q.target.inner() {
            QueryTarget::External(PathPrefix::Event) => q.path.inner(),
            _ => return None,
        },
        _ => return None,
    };
    if path.is_root() {
        return Some(None);
    }
    single(path).map(Some)
}

fn step(e: &Expr, out: &mut Vec<Step>) -> Option<()> {
    match e {
        Expr::Assignment(a) => {
            let Assignment::Single { target: t, op, expr } = a.inner() else {
                return None;
            };
            let e = expr.inner();
            out.push(match (target(t.inner())?, op) {
                (None, AssignmentOp::Assign) => {
                    if let Some((f, format)) = parsed_field(e).or_else(|| parsed_object(e)) {
                        Step::Root(f, format)
                    } else {
                        match call(e, "merge")?.as_slice() {
                            [a, b] if is_root(a) => {
                                let (f, format) = parsed_object(b)?;
                                Step::Merge(f, format)
                            }
                            _ => return None,
                        }
                    }
                }
                (None, AssignmentOp::Merge) => {
                    let (f, format) = parsed_object(e)?;
                    Step::Merge(f, format)
                }
                (Some(key), AssignmentOp::Assign) => Step::Set(key, value(e)?),
                (Some(_), AssignmentOp::Merge) => return None,
            });
        }
        Expr::FunctionCall(_) => match call(e, "del")?.as_slice() {
            [arg] => out.push(Step::Del(field(arg)?)),
            _ => return None,
        },
        Expr::IfStatement(s) => {
            let s = s.inner();
            let predicate = match s.predicate.inner() {
                Predicate::One(p) => test(p.inner())?,
                Predicate::Many(p) => match p.as_slice() {
                    [p] => test(p.inner())?,
                    _ => return None,
                },
            };
            let block = |b: &vrl::parser::ast::Block| {
                let mut steps = Vec::new();
                for e in &b.0 {
                    step(e.inner(), &mut steps)?;
                }
                Some(steps)
            };
            let then = block(s.if_node.inner())?;
            let otherwise = match &s.else_node {
                Some(b) => block(b.inner())?,
                None => Vec::new(),
            };
            out.push(Step::If(predicate, then, otherwise));
        }
        e if is_root(e) => {}
        _ => return None,
    }
    Some(())
}

fn literal(e: &Expr) -> Option<Constant> {
    let Expr::Literal(l) = e else {
        return None;
    };
    Some(match l.inner() {
        Literal::RawString(s) => Constant::Text(s.clone()),
        Literal::String(t) => {
            let mut s = String::new();
            for part in &t.0 {
                match part {
                    StringSegment::Literal(l, _) => s.push_str(l),
                    StringSegment::Template(..) => return None,
                }
            }
            Constant::Text(s)
        }
        Literal::Integer(i) => Constant::Int(*i),
        Literal::Float(f) => Constant::Float(f.into_inner()),
        Literal::Boolean(b) => Constant::Bool(*b),
        Literal::Null => Constant::Null,
        Literal::Regex(_) | Literal::Timestamp(_) => return None,
    })
}

fn inner(e: &Expr) -> &Expr {
    match e {
        Expr::Container(c) => match c.inner() {
            Container::Group(g) => inner(g.inner().0.inner()),
            _ => e,
        },
        _ => e,
    }
}

fn value(e: &Expr) -> Option<Value> {
    let e = inner(e);
    if let Some(c) = literal(e) {
        return Some(Value::Constant(c.json()?));
    }
    if let Some(f) = field(e) {
        return Some(Value::Field(f, Default::default()));
    }
    match e {
        Expr::FunctionCall(c) => {
            let name: &str = c.inner().ident.inner();
            let args = arguments(c.inner(), name)?;
            let [arg] = args.as_slice() else {
                return None;
            };
            Some(match name {
                "del" => Value::Del(field(arg)?),
                "to_int" => Value::ToInt(Box::new(value(arg)?)),
                "to_float" => Value::ToFloat(Box::new(value(arg)?)),
                "to_string" => Value::ToString(Box::new(value(arg)?)),
                "string" => Value::AsString(Box::new(value(arg)?)),
                "int" => Value::AsInt(Box::new(value(arg)?)),
                _ => return None,
            })
        }
        Expr::Op(op) => match op.inner().1.inner() {
            Opcode::Err => Some(Value::Else(
                Box::new(value(op.inner().0.inner())?),
                Box::new(value(op.inner().2.inner())?),
            )),
            _ => None,
        },
        _ => None,
    }
}

/// A field whose value must be a string, with `string` around it or not.
fn text(e: &Expr) -> Option<String> {
    field(e).or_else(|| match call(e, "string")?.as_slice() {
        [arg] => field(arg),
        _ => None,
    })
}

fn test(e: &Expr) -> Option<Test> {
    let e = inner(e);
    match e {
        Expr::Literal(_) => match literal(e)? {
            Constant::Bool(b) => Some(Test::Always(b)),
            _ => None,
        },
        Expr::Unary(u) => {
            let Unary::Not(n) = u.inner();
            let (_, e) = n.inner().clone().take();
            Some(Test::Not(Box::new(test(e.inner())?)))
        }
        Expr::Op(op) => {
            let (a, b) = (inner(op.inner().0.inner()), inner(op.inner().2.inner()));
            let both = || Some((Box::new(test(a)?), Box::new(test(b)?)));
            let how = match op.inner().1.inner() {
                Opcode::And => return both().map(|(a, b)| Test::And(a, b)),
                Opcode::Or => return both().map(|(a, b)| Test::Or(a, b)),
                Opcode::Eq | Opcode::Ne => {
                    let (f, c) = match (field(a), literal(b)) {
                        (Some(f), Some(c)) => (f, c),
                        _ => (field(b)?, literal(a)?),
                    };
                    let same = Test::Equal(f, c);
                    return Some(match op.inner().1.inner() {
                        Opcode::Eq => same,
                        _ => Test::Not(Box::new(same)),
                    });
                }
                Opcode::Lt => Compare::Less,
                Opcode::Le => Compare::LessOrEqual,
                Opcode::Gt => Compare::Greater,
                Opcode::Ge => Compare::GreaterOrEqual,
                _ => return None,
            };
            // `int!(.x) > 5` and the like; a bare field is fallible and does not compile in a test.
            let f = ["int", "float"]
                .iter()
                .find_map(|name| match call(a, name)?.as_slice() {
                    [arg] => field(arg).map(|f| (f, *name == "int")),
                    _ => None,
                })?;
            match literal(b)? {
                Constant::Int(i) => Some(Test::Number {
                    field: f.0,
                    int: f.1,
                    how,
                    with: Constant::Int(i),
                }),
                Constant::Float(x) => Some(Test::Number {
                    field: f.0,
                    int: f.1,
                    how,
                    with: Constant::Float(x),
                }),
                _ => None,
            }
        }
        Expr::FunctionCall(c) => {
            let name: &str = c.inner().ident.inner();
            let args = arguments(c.inner(), name)?;
            match (name, args.as_slice()) {
                ("exists", [a]) => field(a).map(Test::Exists),
                ("is_null", [a]) => field(a).map(Test::IsNull),
                ("contains" | "starts_with" | "ends_with", [a, b]) => {
                    let f = text(a)?;
                    let Constant::Text(needle) = literal(b)? else {
                        return None;
                    };
                    // What replaces broken characters could be part of it.
                    if needle.contains(char::REPLACEMENT_CHARACTER) {
                        return None;
                    }
                    Some(match name {
                        "contains" => Test::contains(f, &needle),
                        "starts_with" => Test::StartsWith(f, needle),
                        _ => Test::EndsWith(f, needle),
                    })
                }
                ("match", [a, b]) => {
                    let Expr::Literal(l) = b else {
                        return None;
                    };
                    let Literal::Regex(r) = l.inner() else {
                        return None;
                    };
                    Some(Test::Matches(text(a)?, regex::Regex::new(r).ok()?))
                }
                _ => None,
            }
        }
        _ => None,
    }
}
