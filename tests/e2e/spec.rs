//! What the API says of itself: that it is whole, the same everywhere, and what the node really is.

use std::collections::BTreeSet;

use serde_json::Value;

use super::harness::{Cis, SESSION_HTTP};
use super::http::get;

/// All paths that clients know, from the code.
fn known_paths() -> BTreeSet<String> {
    let source = include_str!("../../cis-core/src/api/paths.rs");
    let constants = source.lines().filter(|line| line.starts_with("pub const "));
    constants.filter_map(|line| line.split('"').nth(1)).map(str::to_owned).collect()
}

fn references<'a>(value: &'a Value, found: &mut BTreeSet<&'a str>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| references(item, found)),
        Value::Object(fields) => {
            found.extend(fields.get("$ref").and_then(Value::as_str));
            fields.values().for_each(|field| references(field, found));
        }
        _ => {}
    }
}

#[test]
fn the_documents_name_every_path_and_every_type_that_they_name_is_there() {
    let cis = Cis::new();
    let openapi: Value = serde_json::from_str(&cis.ok(["node", "schema"])).unwrap();
    let asyncapi: Value = serde_json::from_str(&cis.ok(["node", "schema", "asyncapi"])).unwrap();
    let paths: BTreeSet<String> = openapi["paths"].as_object().unwrap().keys().cloned().collect();
    assert_eq!(paths, known_paths());
    for document in [&openapi, &asyncapi] {
        let mut named = BTreeSet::new();
        references(document, &mut named);
        let lost: Vec<_> = named.iter().filter(|to| document.pointer(&to[1..]).is_none()).collect();
        assert!(lost.is_empty(), "{lost:?}");
        let text = document.to_string();
        assert!(!text.contains("super::") && !text.contains("[`"), "words for those who know the code");
    }
    let mut ids = BTreeSet::new();
    for (path, item) in openapi["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            assert!(ids.insert(operation["operationId"].as_str().unwrap()), "{method} {path}");
            assert!(!operation["summary"].as_str().unwrap().is_empty(), "{method} {path}");
            assert!(operation["x-cis-rights"].is_string(), "{method} {path}");
        }
    }
    // What every event of the code is called stands in the page that is made from the enum.
    let events = include_str!("../../docs/reference/events.md");
    let events: BTreeSet<&str> =
        events.lines().filter_map(|line| line.strip_prefix("## `cis.")?.strip_suffix('`')).collect();
    let schemas = asyncapi["components"]["schemas"].as_object().unwrap();
    let described: BTreeSet<&str> = schemas.keys().filter_map(|name| name.strip_prefix("cis.")).collect();
    assert_eq!(described, events);
}

#[test]
fn a_node_serves_what_the_command_prints() {
    let cis = Cis::new();
    cis.ok(["node", "start", "--detach"]);
    for (path, name) in [("/v1/openapi.json", "openapi"), ("/v1/asyncapi.json", "asyncapi")] {
        let (head, body) = get(&cis, path, "");
        assert!(
            head.starts_with("http/1.1 200 ") && head.contains("content-type: application/json"),
            "{head}"
        );
        let printed: Value = serde_json::from_str(&cis.ok(["node", "schema", name])).unwrap();
        assert_eq!(serde_json::from_slice::<Value>(&body).unwrap(), printed);
    }
    let (head, body) = get(&cis, "/v1/docs", "");
    assert!(head.starts_with("http/1.1 200 ") && head.contains("content-type: text/html"), "{head}");
    assert!(head.contains("content-security-policy: default-src 'none'"), "{head}");
    let page = String::from_utf8(body).unwrap();
    assert_eq!(page, cis.ok(["node", "schema", "html"]));
    let own = |link: &str| link.starts_with('#') || link.starts_with("/v1/");
    let links: Vec<&str> = page.split("href=\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    assert!(links.iter().all(|link| own(link)), "it loads nothing");
    assert!(!page.contains("<script") && !page.contains("src=") && !page.contains("@import"));
    for link in links.iter().filter_map(|link| link.strip_prefix('#')) {
        assert!(page.contains(&format!("id=\"{link}\"")), "{link} leads nowhere");
    }
    let ids: Vec<&str> = page.split(" id=\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len(), "ids are unique");
}

/// What is answered to a process in a session is what the document says that it needs.
#[test]
fn a_session_may_do_what_the_document_says() {
    let cis = Cis::new();
    cis.ok(["node", "start", "--detach"]);
    let openapi: Value = serde_json::from_str(&cis.ok(["node", "schema"])).unwrap();
    let script = r#"python3 client.py "x-cis-token: $CIS_TOKEN" < operations > answers"#;
    let (mut lines, mut rights) = (String::new(), Vec::new());
    for (path, item) in openapi["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            // Names that nothing has, but the session's own: those may be about itself.
            let filled: String = path
                .split(['{', '}'])
                .enumerate()
                .map(|(n, part)| if n % 2 == 1 { "x" } else { part })
                .collect();
            lines.push_str(&format!("{} {filled}\n", method.to_uppercase()));
            rights.push(operation["x-cis-rights"].as_str().unwrap().to_owned());
        }
    }
    cis.write("client.py", SESSION_HTTP);
    cis.write("operations", &lines);
    cis.dag(&format!("version = 1\n[dag]\nid = \"d\"\n[[tasks]]\nid = \"t\"\nscript = {script:?}\n"), &[])
        .expect(0);
    let answers = cis.read("answers");
    assert_eq!(answers.lines().count(), rights.len(), "{answers}");
    for (answer, rights) in answers.lines().zip(&rights) {
        let denied = answer.ends_with(" 403");
        assert_eq!(denied, rights != "session" || answer.contains("/sessions/x"), "{answer}: needs {rights}");
    }
}

#[test]
fn listings_are_pages_and_a_cursor_of_nothing_is_refused() {
    let cis = Cis::new();
    cis.ok(["node", "start", "--detach"]);
    for n in 0..5 {
        cis.ok(["session", "create", "--", "sleep", "60"]);
        cis.ok(["group", "set", &format!("g{n}"), "--limit", "1"]);
    }
    for (path, all) in [("/v1/sessions", 5), ("/v1/sessions?all=true", 5), ("/v1/groups", 5)] {
        let (mut found, mut after) = (BTreeSet::new(), String::new());
        for page in [2, 2, 1] {
            let sign = if path.contains('?') { '&' } else { '?' };
            let (_, body) = get(&cis, &format!("{path}{sign}limit=2{after}"), "");
            let listing: Value = serde_json::from_slice(&body).unwrap();
            let items = listing["items"].as_array().unwrap();
            assert_eq!((items.len(), listing["next"].is_string()), (page, page == 2), "{path}: {listing}");
            let name = |item: &Value| item.get("id").or(item.get("name")).unwrap().to_string();
            found.extend(items.iter().map(name));
            after = format!("&after={}", listing["next"].as_str().unwrap_or_default());
        }
        assert_eq!(found.len(), all);
    }
    for path in ["/v1/runs", "/v1/inbox", "/v1/sessions", "/v1/groups"] {
        let (head, _) = get(&cis, &format!("{path}?after=nothing"), "");
        assert!(head.starts_with("http/1.1 400 "), "{path}: {head}");
    }
}
