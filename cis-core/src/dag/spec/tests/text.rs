//! What comes before the format: encoding, TOML, places, and sizes.

use super::{HEAD, file, parse, right, task};
use crate::dag::spec::MAX_FILE_BYTES;

#[test]
fn toml_itself() {
    let said: Vec<String> = [
        "version = 1\n[dag\nid = \"d\"\n",
        "version = 1\n[dag]\nid = \"d\nmax_parallel = 1\n",
        "version = 1\nversion = 1\n",
        "version = 1\n[dag]\nid = main-line\nmax_parallel = \n",
        "version = 1 # \u{1}\n",
        &format!("version = 1\nx = {}\n", "[".repeat(200)),
    ]
    .map(file)
    .into();
    insta::assert_snapshot!(said.join("\n\n----\n"), @r#"
        error: this is not TOML: unclosed table, expected `]`
         --> x.toml:2:5
          |
        2 | [dag
          |     ^

        ----
        error: this is not TOML: invalid basic string, expected `"`
         --> x.toml:3:8
          |
        3 | id = "d
          |        ^

        ----
        error: this is not TOML: duplicate key
         --> x.toml:2:1
          |
        2 | version = 1
          | ^^^^^^^

        ----
        error: this is not TOML: a text stands in quotes
         --> x.toml:3:6
          |
        3 | id = main-line
          |      ^^^^^^^^^ write "main-line"

        error: this is not TOML: there is no value
         --> x.toml:4:16
          |
        4 | max_parallel = 
          |                ^

        ----
        error: this is not TOML: invalid comment character, expected printable characters
         --> x.toml:1:15
          |
        1 | version = 1 # ␁
          |               ^

        ----
        error: this is not TOML: cannot recurse further; max recursion depth met
         --> x.toml:2:85
          |
        2 | x = [[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[...
          |                                                                                     ^
        "#);
}

#[test]
fn encodings_and_sizes() {
    let latin1 = parse(b"version = 1\n# caf\xe9 \xe9\n", "x.toml").unwrap_err().to_string();
    let large = parse(&vec![b' '; MAX_FILE_BYTES + 1], "x.toml").unwrap_err().to_string();
    insta::assert_snapshot!(format!("{latin1}\n----\n{large}"), @r#"
        error: the file is not UTF-8
         --> x.toml:2:6
          |
        2 | # caf� �
          |      ^ byte 0xe9 starts no character
          |
          = help: save the file as UTF-8
        ----
        error: the file is longer than 64 MiB
         --> x.toml:1:1
          |
        1 |
          | ^
          |
          = help: move large texts into files of their own
        "#);
    right(&format!("\u{feff}{HEAD}[[tasks]]\r\nid = \"t\"\r\nscript = \"\"\"\r\ntrue\r\n\"\"\"\r\n"));
}

#[test]
fn places_are_right_after_long_lines_and_wide_characters() {
    let long = "x".repeat(5000);
    let wrong = parse(
        format!("{HEAD}[[tasks]]\nid = \"t\"\nenv = {{ \"ä\" = \"{long}\", B = 1 }}\nscript = 'a'")
            .as_bytes(),
        "x.toml",
    );
    let wrong = wrong.unwrap_err();
    let finding = &wrong.findings[0];
    assert_eq!((finding.file.as_str(), finding.line, finding.column), ("x.toml", 6, 5023));
    assert!(finding.rendered.lines().all(|line| line.chars().count() < 200), "{}", finding.rendered);
    assert!(wrong.styled().contains("\u{1b}["));

    insta::assert_snapshot!(task("env = { \"ä\" = \"😀\", B = 1 }\nscript = 'a'"), @r#"
        error: `env.B` must be a string
         --> x.toml:6:24
          |
        6 | env = { "ä" = "😀", B = 1 }
          |                         ^ this is an integer
          |
          = help: write it in quotes: "1"
        "#);
}

#[test]
fn many_mistakes_are_counted() {
    let mut text = HEAD.to_owned();
    (0..30).for_each(|i| text.push_str(&format!("[[tasks]]\nid = \"t{i}\"\nscript = 'a'\nneeds = ['x']\n")));
    let wrong = parse(text.as_bytes(), "x.toml").unwrap_err();
    assert_eq!((wrong.findings.len(), wrong.left_out), (20, 10));
    assert!(wrong.to_string().ends_with("\n\nand 10 more errors"));
}

/// A chain in which every task also uses an output of a task far before it.
fn chain(count: usize) -> String {
    let mut text = HEAD.to_owned();
    for i in 0..count {
        text.push_str(&format!("[[tasks]]\nid = \"t{i}\"\noutputs.x.type = \"string\"\n"));
        if i == 0 {
            text.push_str("script = \"true\"\n");
        } else {
            let far = i / 2;
            text.push_str(&format!(
                "needs = [\"t{}\"]\nscript = \"echo {{{{ tasks.t{far}.outputs.x }}}}\"\n",
                i - 1
            ));
        }
    }
    text
}

#[test]
fn deep_chains_are_read() {
    assert_eq!(right(&chain(20_000)).tasks.len(), 20_000);
}

#[test]
#[ignore = "reads 300,000 tasks; `cargo xtask bench scale` measures how long that takes"]
fn a_hundred_thousand_tasks_are_read_and_as_many_mistakes_found() {
    let plain: String =
        (0..100_000).map(|i| format!("[[tasks]]\nid = \"t{i}\"\ncommand = [\"true\"]\n")).collect();
    let wrong: String =
        (0..100_000).map(|i| format!("[[tasks]]\nid = \"t{i}\"\nneeds = [\"u{i}\"]\n")).collect();
    assert_eq!(right(&format!("{HEAD}{plain}")).tasks.len(), 100_000);
    assert_eq!(right(&chain(100_000)).tasks.len(), 100_000);
    assert!(parse(format!("{HEAD}{wrong}").as_bytes(), "x.toml").is_err());
}

#[test]
fn line_ends_of_windows_are_those_of_unix() {
    let text = "version = 1\n[dag]\nid = \"d\"\n[[tasks]]\nid = \"a\"\nscript = \"\"\"\nif true; then\n  echo \\r\\n\nfi\n\"\"\"\n";
    let unix = right(text);
    assert_eq!(right(&text.replace('\n', "\r\n")), unix);
    assert!(format!("{unix:?}").contains("\\r"), "an escape stays what it is: {unix:?}");
    let wrong = |text: &str| file(&text.replace("script", "scrip"));
    assert_eq!(wrong(&text.replace('\n', "\r\n")), wrong(text));
}
