//! Every kind of diagnostic has a code that never changes its meaning: one table, which `docs/diagnostics.md` follows.

/// Declares the constants and the table of all of them, so that neither can miss one.
macro_rules! codes {
    ($($name:ident = $code:literal, $meaning:literal;)*) => {
        $(#[doc = $meaning] pub const $name: &str = $code;)*

        /// All codes in order, each with what it means in one line.
        pub const ALL: &[(&str, &str)] = &[$(($code, $meaning)),*];
    };
}

codes! {
    UNEXPECTED_CHARACTER = "E101", "a character or sign that the language does not have";
    UNTERMINATED_STRING = "E102", "a string that is not closed on its line";
    UNTERMINATED_COMMENT = "E103", "a comment that is never closed";
    BAD_ESCAPE = "E104", "an escape that strings do not have";
    BAD_QUOTED_NAME = "E105", "a name in backticks that is empty or not closed on its line";
    NUMBER_OUT_OF_RANGE = "E106", "a number that does not fit";
    MALFORMED_NUMBER = "E107", "a number that is written in a way the language does not have";
    BAD_DURATION = "E108", "a duration with an unknown unit, or one that is no whole number of milliseconds";

    UNEXPECTED = "E201", "something else was expected here";
    UNKNOWN_CLAUSE = "E202", "a clause that the language does not have";
    MISSPELT_KEYWORD = "E203", "a word that looks like a misspelt keyword";
    KEYWORD_AS_NAME = "E204", "a keyword where a name was expected";
    DURATION_WITHOUT_UNIT = "E205", "a duration without a unit";
    UNCLOSED = "E206", "a parenthesis, bracket or brace that is never closed";
    OUTSIDE_PATTERN = "E207", "text that belongs to no pattern";
    STAGE_WITHOUT_TYPES = "E208", "a stage that does not say which types it takes";
    MISPLACED_QUANTIFIER = "E209", "a quantifier that does not follow the stage's name";
    MISSING_LINK = "E210", "two elements without a link between them, or a link with nothing before it";
    CHAINED_COMPARISON = "E211", "a comparison of a comparison";
    CONDITION_ON_GROUP = "E212", "`where` or `until` on a group";
    TOO_DEEP = "E213", "parentheses nested too deep, or a path with too many steps";
    TOO_LONG = "E214", "a text that is too long";

    CLAUSE_TWICE = "E301", "a clause that comes twice";
    MATCH_MISSING = "E302", "a pattern without `match`";
    PATTERN_TWICE = "E303", "two patterns of one name";
    STAGE_TWICE = "E304", "two stages of one name";
    MODIFIER_TWICE = "E305", "a modifier that comes twice";
    NEGATION_FIRST = "E306", "a negation with nothing before it";
    NEGATED_GROUP = "E307", "a negation of a group";
    NEGATION_REPEATED = "E308", "a negation that is optional or has a quantifier";
    NEGATION_AFTER_OPTIONAL = "E309", "a negation right after an optional element";
    NEGATION_ENDS_GROUP = "E310", "a group that ends with `not followed by`";
    NEGATION_WITHOUT_WINDOW = "E311", "a pattern that ends with `not followed by` and has no `within`";
    UNTIL_WITHOUT_LOOP = "E312", "`until` on something other than `+`, `*` or `{n,}`";
    CONTIGUITY_WITHOUT_LOOP = "E313", "`consecutive` or `combinations` on something that is no loop";
    CONTIGUITY_TWICE = "E314", "both `consecutive` and `combinations`";
    GREEDY_WITHOUT_LOOP = "E315", "`greedy` on something that is no loop of one stage";
    GREEDY_COMBINATIONS = "E316", "`greedy` with `combinations`";
    GREEDY_BEFORE_OPTIONAL = "E317", "a greedy loop right before an optional element";
    BAD_COUNT = "E318", "a count that is zero, or counts that are out of order";
    OPTIONAL_TWICE = "E319", "an element that is made optional twice";
    LOOP_OF_NOTHING = "E320", "a looping group that can match nothing";
    SKIP_TO_UNKNOWN = "E321", "`skip to` a stage that the pattern does not have";
    WINDOW_TOO_SHORT = "E322", "a window of less than a millisecond";
    TOO_MANY_STATES = "E323", "a pattern whose automaton would be too large";

    UNKNOWN_FUNCTION = "E401", "a function that the language does not have";
    BAD_ARGUMENTS = "E402", "a wrong number or kind of arguments";
    UNKNOWN_STAGE = "E403", "a path whose first step is no stage of the pattern, but looks like one";
    UNKNOWN_META = "E404", "an `@` name that the language does not have";
    BAD_PATH = "E405", "a path that names nothing an event can have";
    NO_EVENT = "E406", "a value of the event being tested where none is being tested";
    FIELD_TWICE = "E407", "two computed fields of one name";
    BAD_REGEX = "E408", "a regular expression that cannot be used";

    NEGATED_STAGE_READ = "W501", "a condition that reads the events of a negation: it has none";
    LATER_STAGE_READ = "W502", "a condition that reads the events of a stage that comes later: it has none yet";
    COMPARED_WITH_NULL = "W503", "a comparison with `null`, which is never true";
    REPEATED = "W504", "something listed twice";
    SKIP_TO_NEGATION = "W505", "`skip to` a negation, which never has an event";
    KINDS_DIFFER = "W506", "a value of a kind that makes its comparison or condition null whatever the event is";
    OWN_STAGE_READ = "W507", "a condition of a stage that takes one event and reads earlier ones of itself: it has none";
}
