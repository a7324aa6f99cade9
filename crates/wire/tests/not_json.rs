//! Texts that are not JSON, or JSON with two readings: no reader takes one, neither alone nor inside a
//! document that is good otherwise.

use std::collections::BTreeSet;

use binauthz_core::payload;
use binauthz_wire::json::{self, Limits};
use binauthz_wire::{admission_review, image_review};

/// A document with a hole, and who reads it.
struct Place {
    name: &'static str,
    read: fn(&[u8]) -> Result<(), String>,
    before: &'static str,
    after: &'static str,
}

impl Place {
    fn fill(&self, value: &[u8]) -> Result<(), String> {
        (self.read)(&[self.before.as_bytes(), value, self.after.as_bytes()].concat())
    }
}

fn statement(bytes: &[u8]) -> Result<(), String> {
    payload::unverified_digest(bytes)
        .map(|_| ())
        .map_err(|error| error.to_string())
}

fn request(bytes: &[u8]) -> Result<(), String> {
    json::parse(bytes, Limits::API)
        .map(|_| ())
        .map_err(|error| error.to_string())
}

fn review(bytes: &[u8]) -> Result<(), String> {
    admission_review::read(bytes)
        .map(|_| ())
        .map_err(|error| error.to_string())
}

fn image(bytes: &[u8]) -> Result<(), String> {
    image_review::read(bytes)
        .map(|_| ())
        .map_err(|error| error.to_string())
}

const fn whole(name: &'static str, read: fn(&[u8]) -> Result<(), String>) -> Place {
    Place {
        name,
        read,
        before: "",
        after: "",
    }
}

const WHOLE: [Place; 4] = [
    whole("a statement", statement),
    whole("a request", request),
    whole("an AdmissionReview", review),
    whole("an ImageReview", image),
];

macro_rules! critical {
    () => {
        r#"{"critical": {"identity": {"docker-reference": "r.test/a"}, "image": {"docker-manifest-digest": "sha256:ebb4fc0a57d010f1a983b74238e36ec0288f83afd4db68ffe9c58c2e927fea2d"}, "type": "Google cloud binauthz container signature"}, "optional": "#
    };
}

/// Where any value may stand.
const INSIDE: [Place; 6] = [
    Place {
        name: "a member of `optional`",
        read: statement,
        before: concat!(critical!(), r#"{"a": "#),
        after: "}}",
    },
    Place {
        name: "a member of a request",
        read: request,
        before: r#"{"a": "#,
        after: "}",
    },
    Place {
        name: "an item of a list of a request",
        read: request,
        before: r#"{"a": [0, "#,
        after: ", 1]}",
    },
    Place {
        name: "a member of an AdmissionReview that is not needed",
        read: review,
        before: r#"{"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {"uid": "u", "options": "#,
        after: "}}",
    },
    Place {
        name: "a member of a Pod that is not needed",
        read: review,
        before: r#"{"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {"uid": "u", "kind": {"version": "v1", "kind": "Pod"}, "operation": "CREATE", "object": {"spec": {"affinity": "#,
        after: r#", "containers": [{"image": "r.test/a"}]}}}}"#,
    },
    Place {
        name: "a member of an ImageReview that is not needed",
        read: image,
        before: r#"{"apiVersion": "imagepolicy.k8s.io/v1alpha1", "kind": "ImageReview", "spec": {"containers": [{"image": "r.test/a", "x": "#,
        after: "}]}}",
    },
];

/// Where an object may stand.
const OPTIONAL: Place = Place {
    name: "`optional`",
    read: statement,
    before: critical!(),
    after: "}",
};

/// A table: one text a line where it can be written down.
#[rustfmt::skip]
const TEXTS: &[&str] = &[
    // Nothing.
    "", " ", "\n", "\t\r\n",
    // Lists that do not end, end twice, or hold something else than values between commas.
    "[", "]", "[1", "[1,", "[1,]", "[,1]", "[,]", "[1,,2]", "[1 2]", "[1;2]", "[1:2]", "[]]", "[[]", "[1}", "[}",
    "[1],", "(1)", "<1>", "[*]", "[...]", "[\"a\":1]", "[\"a\"", "[1\n", "[[1,]]", "[{}", "[\"\",]",
    // Objects likewise.
    "{", "}", "{\"a\"", "{\"a\"}", "{\"a\":", "{\"a\":}", "{\"a\":1", "{\"a\":1,", "{\"a\":1,}", "{,}",
    "{,\"a\":1}", "{\"a\":1,,\"b\":2}", "{a:1}", "{'a':1}", "{`a`:1}", "{1:1}", "{null:1}", "{true:1}", "{[]:1}",
    "{{}:1}", "{\"a\":1 \"b\":2}", "{\"a\" 1}", "{\"a\"=1}", "{\"a\"=>1}", "{\"a\"::1}", "{\"a\":1;}", "{\"a\":1]",
    "{\"a\",\"b\"}", "{{}}", "{\"a\":{}", "{:1}", "{\"a\":1}}", "{\"a\":1:2}", "{\"a\":\"b}", "{]", "{\"a\":1,1}",
    "{\"a\"\"b\"}", "{\"a\":1,\"b\"}", "{\"\"}", "{*:1}", "{\"a\":*}", "{...{}}", "{a}", "{\"a\":()}",
    // Numbers of other notations, and half ones.
    "01", "-01", "00", "-00", "1.", "-1.", ".5", "-.5", "+1", "++1", "--1", "-", "+", ".", "-.", "- 1", "1-", "1+2",
    "1e", "1E", "1e+", "1E-", "1.e1", "1e1.5", "1e1e1", "0e", "0e+", "0.3e", "0.3e+", "2.e3", "9.e+", "-2.", ".0",
    "1..2", "1.2.3", "0x10", "0X1F", "-0x1", "0b1", "0o7", "1_000", "1,000", "1 000", "1f", "1.5f", "1L", "1n",
    "1/2", "1%", "$1", "#1", "-a", "1a", "1e1a", "e1", "1.5.", "0.1.2", "\u{0663}", "\u{ff11}", "1\u{b2}",
    "NaN", "nan", "-NaN", "Infinity", "-Infinity", "+Infinity", "inf", "-inf", "Inf", "1.#INF", "1.#QNAN",
    // Words.
    "True", "TRUE", "trUe", "tru", "truee", "true1", "truefalse", "True1", "False", "fals", "nul", "nulll", "Null",
    "NULL", "nil", "None", "undefined", "void", "yes", "no", "on", "off", "a", "abc", "~", "t", "f", "n", "null null",
    // Strings in other quotes, without one, or with something behind it.
    "'a'", "`a`", "\"a", "a\"", "\"", "\"\"\"", "\"a'", "'a\"", "\"a\"b\"", "\"a\" \"b\"", "\"a\"\"b\"", "\"a\"+\"b\"",
    "\u{201c}a\u{201d}", "\u{ab}a\u{bb}", "@\"a\"", "r\"a\"", "b\"a\"", "\"\"\"a\"\"\"", "\\\"a\\\"", "&quot;a&quot;",
    // Escapes that JSON does not have, and half ones.
    "\"\\\"", "\"\\", "\"\\x41\"", "\"\\a\"", "\"\\'\"", "\"\\0\"", "\"\\101\"", "\"\\v\"", "\"\\e\"", "\"\\ \"",
    "\"\\\n\"", "\"\\\t\"", "\"\\U00000041\"", "\"\\u\"", "\"\\u0\"", "\"\\u00\"", "\"\\u004\"", "\"\\u004g\"",
    "\"\\u 041\"", "\"\\u+041\"", "\"\\u-041\"", "\"\\u{41}\"", "\"\\u00\\u41\"", "\"\\\u{e9}\"", "\"\\B\"", "\"\\N\"",
    "\"\\T\"", "\"\\\\\\\"", "\\u0022a\\u0022", "\"\\uD83D\\u\"", "\"\\uD83D\\uDE0\"", "\"\\uD83D\\x\"",
    // Halves of pairs, alone, doubled, turned round, as values and as names.
    "\"\\ud800\"", "\"\\udbff\"", "\"\\udc00\"", "\"\\udfff\"", "\"\\ud800\\ud800\"", "\"\\udc00\\udc00\"",
    "\"\\ude00\\ud83d\"", "\"\\ud83dx\"", "\"\\ud83d\\u0041\"", "\"\\ud83d\\n\"", "\"x\\ude00\"",
    "{\"\\ud800\":1}", "{\"\\udc00\":1}", "{\"\\ud83d\\ud83d\":1}",
    // Comments.
    "// c\n1", "1 // c", "/* c */ 1", "1 /* c */", "/**/", "[1 /* c */]", "{\"a\":1 /**/}", "{/**/\"a\":1}", "# c\n1",
    "1 # c", "; c\n1", "-- c\n1", "<!-- c --> 1", "[1, // c\n2]", "{\"a\":/1}", "{\"a\":1}/", "{\"a\":1}//", "1 /",
    // What other programs take for white space.
    "[\u{c}]", "[\u{b}]", "[\u{8}]", "[\0]", "[\u{a0}]", "[\u{85}]", "[\u{2028}]", "[\u{2029}]", "[\u{200b}]",
    "[\u{3000}]", "[\u{feff}]", "[\u{2060}]", "[1\u{c},2]", "{\"a\"\u{a0}:1}", "{\"a\":\u{c}1}", "\u{a0}1", "1\u{a0}",
    "\u{c}1", "1\u{c}", "1\0", "\x001", "[\\n]", "[\\u000A1]", "[\u{1}]", "[\u{7f}]",
    // Commas, colons and brackets that only look like it.
    "[1\u{ff0c}2]", "{\"a\"\u{ff1a}1}", "\u{ff3b}1\u{ff3d}", "\u{ff5b}\u{ff5d}", "[1\u{60c}2]",
    // A mark in front, something behind, several documents.
    "\u{feff}{}", "\u{feff}1", "{}\u{feff}", "\u{1e}{}", "{}{}", "{} {}", "{}\n{}", "[][]", "1 1", "\"a\" 1", "{}x",
    "{} x", "[]\0", "{},", "1,", ",1", ":1", "{};", "{}.", "{}]", "null,", "true]", "1}", "\"a\"}",
    // Other notations.
    "a: 1", "- 1", "--- {}", "{}\n---\n{}", "&a {}", "*a", "!!map {}", "<a/>", "a=1", "a = 1", "(a 1)", "f({})",
    "{});", ")]}'\n{}", "for(;;);{}", "x'00'", "[a]", "{\"a\":new Date(0)}", "{\"a\":ObjectId(\"1\")}", "{\"a\":/x/g}",
    "{get a(){}}", "%7B%7D", "eyJhIjoxfQ==",
    // One name twice, at any depth and in any spelling.
    "{\"a\":1,\"a\":1}", "{\"a\":1,\"a\":2}", "{\"\":1,\"\":1}", "{\"a\":1,\"b\":2,\"a\":3}", "{\"a\":1,\"\\u0061\":1}",
    "{\"\\u0061\":1,\"\\u0061\":1}", "{\"\\/\":1,\"/\":1}", "{\"\u{e9}\":1,\"\\u00e9\":1}", "{\"\\n\":1,\"\\u000a\":1}",
    "{\"\u{1f600}\":1,\"\\ud83d\\ude00\":1}", "{\"a\":{\"b\":1,\"b\":1}}", "[{\"a\":1,\"a\":1}]",
    "{\"a\":[{\"b\":{\"c\":[],\"c\":{}}}]}", "{\"a\":null,\"a\":1}", "{\"a\":{},\"a\":{}}", "{\"\\u0000\":1,\"\\u0000\":1}",
];

/// Texts that are no UTF-8, or UTF-8 of what it cannot say.
#[rustfmt::skip] // A table.
const BYTES: &[&[u8]] = &[
    b"\"\xff\"", b"\"\xfe\"", b"\"\x80\"", b"\"\xbf\"", b"\"\xc3\"", b"\"\xc3\x28\"", b"\"\xe2\x82\"", b"\"\xf0\x9f\x98\"",
    // Longer than needed.
    b"\"\xc0\xaf\"", b"\"\xc1\xbf\"", b"\"\xe0\x80\xaf\"", b"\"\xf0\x80\x80\xaf\"", b"\"\xc0\x80\"",
    // A quote hidden in one.
    b"\"\xc0\xa2\"", b"\xc0\xa2a\xc0\xa2",
    // Halves of pairs, and beyond the last character.
    b"\"\xed\xa0\x80\"", b"\"\xed\xb0\x80\"", b"\"\xed\xa0\xbd\xed\xb8\x80\"", b"\"\xf4\x90\x80\x80\"",
    b"\"\xf8\x88\x80\x80\x80\"", b"\"\xfc\x84\x80\x80\x80\x80\"",
    // Latin-1.
    b"\"caf\xe9\"", b"{\"\xe9\":1}", b"[\xa0]", b"\xe9",
    // As a name, and between the values.
    b"{\"\xff\":1}", b"[1,\xff]", b"\xff[]", b"[]\xff", b"1\xff", b"\"\\\xff\"", b"\"\\u\xff\"", b"\"\\u00\xe5\"",
    // Marks and whole documents of other encodings.
    b"\xff\xfe{\0}\0", b"\xfe\xff\0{\0}", b"{\0}\0", b"\0{\0}", b"1\0", b"\0\x31", b"[\0]\0", b"\xff\xfe\0\0{\0\0\0}\0\0\0",
    b"\0\0\xfe\xff\0\0\0{\0\0\0}", b"{\0\0\0}\0\0\0", b"+/v8-{}", b"\xf7\x64\x4c{}", b"\x0e\xfe\xff{}", b"\xfb\xee\x28{}",
    b"\"\0a\0\"", b"\x1f\x8b\x08\0", b"\xa1\x61a\x01", b"\x81\xa1a\x01",
];

fn bad() -> Vec<Vec<u8>> {
    let mut all: Vec<Vec<u8>> = TEXTS.iter().map(|text| text.as_bytes().to_vec()).collect();
    all.extend(BYTES.iter().map(|bytes| bytes.to_vec()));
    // Control characters as they are, in a value and in a name.
    for control in 0_u8..0x20 {
        all.push(vec![b'"', control, b'"']);
        all.push(vec![b'{', b'"', b'a', control, b'"', b':', b'1', b'}']);
    }
    // Beyond every reader's depth, closed and not.
    for levels in [200, 5_000, 100_000] {
        for (open, close) in [("[", "]"), ("{\"a\":", "}"), ("[{\"a\":", "}]")] {
            all.push(open.repeat(levels).into_bytes());
            all.push(format!("{}1{}", open.repeat(levels), close.repeat(levels)).into_bytes());
        }
    }
    // One name twice among many.
    let mut members: Vec<String> = (0..100).map(|number| format!("\"k{number}\":0")).collect();
    members.push("\"k77\":0".to_owned());
    all.push(format!("{{{}}}", members.join(",")).into_bytes());
    all
}

/// The same classes, each on the right side of its border.
#[rustfmt::skip] // A table.
const GOOD: &[&str] = &[
    "[]", "[1]", "[1,2]", "[[]]", "[[],{}]", "{}", "{\"a\":1}", "{\"a\":1,\"b\":2}", "{\"\":1}", "{\"a\":{\"a\":{}}}",
    "0", "-0", "1", "-1", "10", "0.5", "-0.5", "1e1", "1E+1", "1e-1", "1.5e10", "0e1", "0.0", "-1.5E-3",
    "9223372036854775807", "-9223372036854775808", "18446744073709551615", "123456789012345678901234567890",
    "true", "false", "null", " 1", "1 ", "\t\r\n 1 \n", "[ 1 , 2 ]", "{ \"a\" : 1 }", "[\n]", "{\r\n}",
    "\"\"", "\"a\"", "\"'\"", "\"\u{e9}\"", "\"\u{1f600}\"", "\"\u{7f}\"", "\"\u{2028}\"", "\"\u{feff}\"", "\"\u{a0}\"",
    "\"\\\"\"", "\"\\\\\"", "\"\\/\"", "\"\\b\\f\\n\\r\\t\"", "\"\\u0041\"", "\"\\u00e9\"", "\"\\u0000\"", "\"\\u001f\"",
    "\"\\ud83d\\ude00\"", "\"\\uD83D\\uDE00\"", "\"\\ufffe\"", "\"\\\\u0041\"", "\"// c\"", "\"/* c */\"", "\"# c\"",
    "\"NaN\"", "\"[\"", "\"{\"", "{\"a\":1,\"A\":1}", "{\"a\":1,\"a \":1}", "{\"\u{e9}\":1,\"e\\u0301\":1}",
    "[{\"a\":1},{\"a\":1}]", "{\"a\":{\"b\":1},\"b\":{\"a\":1}}", "{\"\\ud83d\\ude00\":1}", "{\"\\u0000\":1,\"\":1}",
];

fn shown(value: &[u8]) -> String {
    let start = &value[..value.len().min(80)];
    format!("{} ({} bytes)", start.escape_ascii(), value.len())
}

#[test]
fn no_reader_takes_one() {
    let all = bad();
    let different: BTreeSet<&Vec<u8>> = all.iter().collect();
    assert!(different.len() >= 400, "{}", different.len());
    let mut taken = Vec::new();
    for place in WHOLE.iter().chain(&INSIDE).chain([&OPTIONAL]) {
        for value in &all {
            if place.fill(value).is_ok() {
                taken.push(format!("{}: {}", place.name, shown(value)));
            }
        }
    }
    assert!(taken.is_empty(), "{}", taken.join("\n"));
}

#[test]
fn every_reader_takes_their_twins() {
    let nested = format!("{}1{}", "[".repeat(30), "]".repeat(30));
    let mut refused = Vec::new();
    for value in GOOD.iter().copied().chain([nested.as_str()]) {
        for place in &INSIDE {
            if let Err(why) = place.fill(value.as_bytes()) {
                refused.push(format!("{}: {}: {why}", place.name, shown(value.as_bytes())));
            }
        }
        assert_eq!(request(value.as_bytes()), Ok(()), "{value}");
        // Of these, objects only.
        let is_object = value.trim_ascii().starts_with('{');
        assert_eq!(OPTIONAL.fill(value.as_bytes()).is_ok(), is_object, "{value}");
    }
    assert!(refused.is_empty(), "{}", refused.join("\n"));
}
