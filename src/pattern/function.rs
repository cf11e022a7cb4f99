//! The functions of the language: names, numbers of arguments, and what each one does to values.

/// A function of values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the table below and docs/language.md say what each one does")]
pub enum Function {
    Lower,
    Upper,
    Length,
    Trim,
    Contains,
    StartsWith,
    EndsWith,
    Substring,
    Concat,
    Abs,
    Round,
    Floor,
    Ceil,
    Sqrt,
    Coalesce,
    If,
    CidrContains,
    HourOfDay,
    DayOfWeek,
    ToNumber,
    ToString,
}

impl Function {
    /// Name, function, fewest and most arguments. (`header("x")` and the aggregates are not here: they read events.)
    pub const ALL: [(&'static str, Function, usize, usize); 21] = [
        ("lower", Function::Lower, 1, 1),
        ("upper", Function::Upper, 1, 1),
        ("length", Function::Length, 1, 1),
        ("trim", Function::Trim, 1, 1),
        ("contains", Function::Contains, 2, 2),
        ("starts_with", Function::StartsWith, 2, 2),
        ("ends_with", Function::EndsWith, 2, 2),
        ("substring", Function::Substring, 2, 3),
        ("concat", Function::Concat, 1, usize::MAX),
        ("abs", Function::Abs, 1, 1),
        ("round", Function::Round, 1, 2),
        ("floor", Function::Floor, 1, 1),
        ("ceil", Function::Ceil, 1, 1),
        ("sqrt", Function::Sqrt, 1, 1),
        ("coalesce", Function::Coalesce, 1, usize::MAX),
        ("if", Function::If, 3, 3),
        ("cidr_contains", Function::CidrContains, 2, 2),
        ("hour_of_day", Function::HourOfDay, 1, 1),
        ("day_of_week", Function::DayOfWeek, 1, 1),
        ("to_number", Function::ToNumber, 1, 1),
        ("to_string", Function::ToString, 1, 1),
    ];
}
