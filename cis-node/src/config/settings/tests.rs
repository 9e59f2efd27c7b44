use super::*;

#[test]
fn every_default_is_a_value_that_its_field_holds() {
    let usual = Settings::usual();
    for setting in SETTINGS {
        let value = setting.kind.read(setting.default).unwrap_or_else(|why| panic!("{}: {why}", setting.key));
        assert_eq!((setting.get)(&usual), value, "{}", setting.key);
        assert_eq!(setting.text(&usual), setting.default, "{}", setting.key);
    }
    assert_eq!(usual.timeouts.exec_max_ms, 1_800_000);
    assert_eq!(usual.node.log_limit_bytes, 64 << 20);
}

#[test]
fn every_setting_has_a_field_of_its_own() {
    for one in SETTINGS {
        let mut settings = Settings::usual();
        let other = match one.kind {
            Kind::Keys => "x y",
            Kind::Command => r#"["x"]"#,
            Kind::Flag if one.default == "true" => "false",
            Kind::Flag => "true",
            Kind::Mode => "hybrid",
            Kind::Role => "worker",
            Kind::Placement => "pack",
            Kind::Room => "#x:example.org",
            Kind::Text => "x",
            Kind::List(Item::Users | Item::People | Item::Mentions) => r#"["@x:example.org"]"#,
            Kind::List(Item::RoomEvents) => r#"["cis.dag.run.failed"]"#,
            Kind::List(Item::Rooms) => r##"["#x:example.org"]"##,
            Kind::List(Item::Dirs) => r#"["/x"]"#,
            Kind::List(Item::Tags) => r#"["gpu"]"#,
            Kind::List(Item::Hosts) => r#"["x.example.org"]"#,
            Kind::List(Item::Origins) => r#"["https://x.example.org"]"#,
            Kind::Address => "127.0.0.1:7443",
            Kind::File => "/x",
            Kind::Count { .. } => "77",
            Kind::Time | Kind::TimeOrUnlimited => "77s",
            Kind::Size { .. } | Kind::SizeOrUnlimited => "77MB",
        };
        (one.set)(&mut settings, &one.kind.read(other).unwrap());
        for setting in SETTINGS {
            let changed = setting.text(&settings) != setting.text(&Settings::usual());
            assert_eq!(changed, setting.key == one.key, "{} by {}", setting.key, one.key);
        }
    }
}

#[test]
fn short_limits_are_not_warned_of() {
    let timeouts = Settings::usual().timeouts;
    assert_eq!(timeouts.warning(None, None), None);
    assert_eq!(timeouts.warning(Some(60_000), Some(60_000)), None);
    assert_eq!(timeouts.warning(Some(60_001), None), Some(30_000));
    assert_eq!(timeouts.warning(None, Some(300_000)), Some(30_000));
}
