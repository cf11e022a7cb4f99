//! JSON text as a tree that still knows how each part was written.

use super::value::Value;

/// A JSON value. Objects and arrays keep their text; of members that come twice both are here.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Json {
    /// Null, a truth value, a number or a string.
    Scalar(Value),
    /// Elements, and the text.
    Array(Vec<Json>, String),
    /// Members in the order of the text, and the text.
    Object(Vec<(String, Json)>, String),
}

/// One step into a JSON value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Step {
    /// To a member of an object.
    Name(String),
    /// To an element of an array: from 0, or from the end where negative.
    Index(i64),
}

impl Json {
    /// Reads text that is known to be valid JSON.
    pub(crate) fn read(text: &str) -> Json {
        Reader { text, at: 0 }.value()
    }

    /// The value that the steps lead to; null where they lead nowhere.
    pub(crate) fn at(&self, steps: &[Step]) -> Value {
        let Some((step, rest)) = steps.split_first() else { return self.value() };
        let below = match (self, step) {
            (Json::Object(members, _), Step::Name(name)) => {
                members.iter().rev().find(|(other, _)| other == name).map(|(_, json)| json)
            }
            (Json::Array(elements, _), Step::Index(index)) => {
                let index = if *index < 0 { index + elements.len() as i64 } else { *index };
                usize::try_from(index).ok().and_then(|index| elements.get(index))
            }
            _ => None,
        };
        below.map_or(Value::Null, |json| json.at(rest))
    }

    fn value(&self) -> Value {
        match self {
            Json::Scalar(value) => value.clone(),
            Json::Array(_, text) | Json::Object(_, text) => Value::Json(text.clone()),
        }
    }
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl Reader<'_> {
    fn value(&mut self) -> Json {
        let start = self.at;
        match self.peek() {
            b'{' => {
                let mut members = Vec::new();
                self.list(b'}', |reader| {
                    let name = reader.string();
                    reader.space();
                    reader.at += 1;
                    reader.space();
                    members.push((name, reader.value()));
                });
                Json::Object(members, self.text[start..self.at].to_owned())
            }
            b'[' => {
                let mut elements = Vec::new();
                self.list(b']', |reader| elements.push(reader.value()));
                Json::Array(elements, self.text[start..self.at].to_owned())
            }
            b'"' => Json::Scalar(Value::Str(self.string())),
            b't' => self.word(4, Value::Bool(true)),
            b'f' => self.word(5, Value::Bool(false)),
            b'n' => self.word(4, Value::Null),
            _ => {
                while matches!(self.peek(), b'-' | b'+' | b'.' | b'e' | b'E' | b'0'..=b'9') {
                    self.at += 1;
                }
                Json::Scalar(number(&self.text[start..self.at]))
            }
        }
    }

    /// The next byte; 0 at the end.
    fn peek(&self) -> u8 {
        self.text.as_bytes().get(self.at).copied().unwrap_or(0)
    }

    fn space(&mut self) {
        while matches!(self.peek(), b' ' | b'\t' | b'\r' | b'\n') {
            self.at += 1;
        }
    }

    fn word(&mut self, length: usize, value: Value) -> Json {
        self.at += length;
        Json::Scalar(value)
    }

    fn list(&mut self, close: u8, mut item: impl FnMut(&mut Self)) {
        self.at += 1;
        self.space();
        while self.peek() != close {
            item(self);
            self.space();
            if self.peek() == b',' {
                self.at += 1;
                self.space();
            }
        }
        self.at += 1;
    }

    fn string(&mut self) -> String {
        let mut units: Vec<u16> = Vec::new();
        self.at += 1;
        loop {
            let rest = &self.text[self.at..];
            let c = rest.chars().next().unwrap_or('"');
            self.at += c.len_utf8();
            match c {
                '"' => return String::from_utf16_lossy(&units),
                '\\' => {
                    let escape = self.peek();
                    self.at += 1;
                    units.push(match escape {
                        b'b' => 8,
                        b'f' => 12,
                        b'n' => 10,
                        b'r' => 13,
                        b't' => 9,
                        b'u' => {
                            self.at += 4;
                            u16::from_str_radix(&self.text[self.at - 4..self.at], 16).unwrap()
                        }
                        other => u16::from(other),
                    });
                }
                c => units.extend(c.encode_utf16(&mut [0; 2]).iter()),
            }
        }
    }
}

/// A JSON number: an integer of 64 bits is kept exactly, anything else is a float, and null where no float is as large.
pub(crate) fn number(text: &str) -> Value {
    if !text.contains(['.', 'e', 'E'])
        && let Ok(int) = text.parse::<i128>()
        && (i128::from(i64::MIN)..=i128::from(u64::MAX)).contains(&int)
    {
        return Value::Int(int);
    }
    text.parse::<f64>().map_or(Value::Null, Value::float)
}
